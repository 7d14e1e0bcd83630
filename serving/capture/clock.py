"""The event time of a source: the wall clock, but it never goes back."""

import time
from collections.abc import Callable

_MICROSECONDS = 1_000_000
#: Speed of event time while the wall clock is behind it: less than 1, so that the wall clock catches up.
_CATCH_UP_SPEED = 0.5


class SourceClock:
    """Returns event times in whole microseconds; they never decrease, and the first is at least `floor`.

    After the wall clock steps back, event time continues at half speed until the wall clock has caught up, because a constant event time
    would stop all watermarks. Not thread safe.
    """

    def __init__(
        self,
        floor: int = 0,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = floor
        self._at = monotonic()

    def now(self) -> int:
        """Return the time of the next frame."""
        wall = round(self._wall() * _MICROSECONDS)
        at = self._monotonic()
        if wall < self._last:
            wall = self._last + max(0, int((at - self._at) * _MICROSECONDS * _CATCH_UP_SPEED))
        self._last, self._at = wall, at
        return wall
