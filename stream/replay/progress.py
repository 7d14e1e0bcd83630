"""Counts what is read, and tells how far it is a few times a second."""

import time

from stream.replay.report import EventCounts, Observe, Progress, RunStatistics

__all__ = ["Meter"]

_EVERY_SECONDS = 0.25


class Meter:
    """Counts of one replay.

    Parameters
    ----------
    total
        Records to be read of the topic that is replayed.
    observe
        VersionSummary how far it is.

    Attributes
    ----------
    events
        What was read.
    """

    def __init__(self, total: int, observe: Observe = lambda _: None) -> None:
        self.events = EventCounts()
        self._total = total
        self._observe = observe
        self._records = 0
        self._began = self._told = time.monotonic()

    def record(self) -> None:
        """Count a record, of whatever kind."""
        self._records += 1
        if time.monotonic() - self._told >= _EVERY_SECONDS:
            self._told = time.monotonic()
            self._observe(self._progress())

    def run(self) -> RunStatistics:
        """Return how it went, and tell that it is done."""
        self._observe(self._progress())
        seconds = max(time.monotonic() - self._began, 1e-6)
        events = self.events
        span = 0.0 if events.first is None or events.last is None else events.last - events.first
        rate, recorded = events.read / seconds, events.read / span if span > 0 else None
        return RunStatistics(
            seconds=seconds,
            records=self._records,
            events_per_second=rate,
            recorded_events_per_second=recorded,
            ratio=rate / recorded if recorded else None,
        )

    def _progress(self) -> Progress:
        seconds = max(time.monotonic() - self._began, 1e-6)
        return Progress(
            done=self._records,
            total=self._total,
            events_per_second=self.events.read / seconds,
            left_seconds=seconds / self._records * (self._total - self._records) if self._records else None,
        )
