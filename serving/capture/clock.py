"""The time of a source: the wall clock, but never going back."""

import time
from collections.abc import Callable

__all__ = ["SourceClock"]

_MICROSECONDS = 1_000_000
#: While the wall clock is behind what was already stamped, time goes on at half speed, so that the two meet again.
_CREEP = 0.5


class SourceClock:
    """Event times in whole microseconds; each is at least the one before.

    When the wall clock steps back, times do not stand still (a standing clock would hold every watermark): they go on at half
    speed until the wall clock has caught up.

    Parameters
    ----------
    floor
        No time is below it, in microseconds.
    wall, monotonic
        Clocks in seconds.

    Notes
    -----
    Not thread safe; the spool's writer calls it under its lock.
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
            wall = self._last + max(0, int((at - self._at) * _MICROSECONDS * _CREEP))
        self._last, self._at = wall, at
        return wall
