"""Detects work without progress."""

__all__ = ["StallDetector"]


class StallDetector:
    """The time for which there has been work and no progress."""

    def __init__(self, bound_seconds: float) -> None:
        self._bound = bound_seconds
        self._progress: int | None = None
        self._since = 0.0

    def observe(self, *, now: float, progress: int, work: bool) -> bool:
        """Return whether there has been work without progress for the bound, at monotonic time `now`.

        `progress` grows with every piece of work done; `work` is whether anything waits, False while the broker is
        away.
        """
        if not work or progress != self._progress:
            self._progress, self._since = progress, now
            return False
        return now - self._since >= self._bound
