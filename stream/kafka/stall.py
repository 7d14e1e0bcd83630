"""Detects that work waits but no work is finished."""


class StallDetector:
    """Measures how long work has waited without progress."""

    def __init__(self, bound_seconds: float) -> None:
        self._bound = bound_seconds
        self._progress: int | None = None
        self._since = 0.0

    def observe(self, *, now: float, progress: int, work: bool) -> bool:
        """Return whether, at monotonic time `now`, work has waited without progress for at least `bound_seconds`.

        `progress` grows with each finished piece of work. `work` states whether work waits; pass False while the broker
        is away.
        """
        if not work or progress != self._progress:
            self._progress, self._since = progress, now
            return False
        return now - self._since >= self._bound
