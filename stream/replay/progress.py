"""Counts records, and reports the progress a few times per second."""

import time

from stream.replay.report import EventCounts, Observe, RunStatistics

_INTERVAL_SECONDS = 0.25


class ProgressMeter:
    """The counts of one replay; `total` is the number of records of the replayed topic."""

    def __init__(self, total: int, observe: Observe = lambda _done, _total: None) -> None:
        self.events = EventCounts()
        self._total = total
        self._observe = observe
        self._records = 0
        self._started = self._reported = time.monotonic()

    def record(self) -> None:
        """Count a record of any type."""
        self._records += 1
        if time.monotonic() - self._reported >= _INTERVAL_SECONDS:
            self._reported = time.monotonic()
            self._observe(self._records, self._total)

    def statistics(self) -> RunStatistics:
        """Report the end of the run, and return its statistics."""
        self._observe(self._records, self._total)
        events, seconds = self.events, max(time.monotonic() - self._started, 1e-6)
        span = 0.0 if events.first is None or events.last is None else events.last - events.first
        rate, recorded = events.read / seconds, events.read / span if span > 0 else None
        return RunStatistics(
            seconds=seconds,
            records=self._records,
            events_per_second=rate,
            recorded_events_per_second=recorded,
            ratio=rate / recorded if recorded else None,
        )
