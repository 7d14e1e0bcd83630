"""A limit on the time that repeated work uses."""

import time
from collections.abc import Callable


class TimeShare:
    """Runs work for at most a `share` of the time, in (0, 1]; the pause after a run is proportional to the run's duration."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = 1 / share - 1
        self._clock = clock
        self._next = clock()

    def run(self, work: Callable[[], None]) -> None:
        """Run `work`, or do nothing during a pause."""
        began = self._clock()
        if began < self._next:
            return
        work()
        ended = self._clock()
        self._next = ended + self._pause * (ended - began)
