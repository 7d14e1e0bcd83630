"""The watch and the alert stage in a row, without Kafka: the same machines, driven by whatever reads the log.

Why this exists: a replay must decide as the stages do. So it runs their machines, and adds nothing to them; retraining is no
part of it.
"""

from collections.abc import Iterator

from stream.stages.alert.machine import Alerting, Opener
from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.alert.state import StreamAlerts
from stream.stages.watch.machine import PartitionWatch, Tenants, WatchRules
from stream.stages.watch.records import WATCH_SOURCE
from stream.wire import Event, FindingRecord, Signal, Tick, stream_key

__all__ = ["AlertChain", "WatchChain", "no_span"]

#: Log time between two of watch's ticks, as in the watch stage.
_TICK_SECONDS = 1.0


def no_span(_alert_id: str, _detector: str, tipping: str, _others: tuple[str, ...]) -> str:
    """Open an alert without a span of its own: it stands in the trace of what tipped it."""
    return tipping


class WatchChain:
    """What score publishes in, what stands on findings out; one partition of signals.

    Parameters
    ----------
    rules
        What the watch stage goes by.
    outstanding
        Events of open buckets that are held, at most: beyond, the oldest bucket is closed early, as the stage does it.
    """

    def __init__(self, rules: WatchRules, outstanding: int = 50_000) -> None:
        self._machine = PartitionWatch(rules)
        self._outstanding = outstanding
        self._told: float | None = None

    @property
    def log_time(self) -> float | None:
        """How far log time has come; None before every partition of inference was heard."""
        return self._machine.watermark.value

    def feed(self, event: Event) -> Iterator[Event]:
        """Take a signal, a tick of score, or a finding about one event, which passes through."""
        if isinstance(event.data, FindingRecord):
            yield event
        elif isinstance(event.data, Signal):
            self._machine.offer(event, None)
            while self._machine.open.tokens > self._outstanding and (early := self._machine.relieve()) is not None:
                yield from early.findings
        elif isinstance(event.data, Tick) and self._machine.tick(event.data):
            for closed in self._machine.closed(snapshot=False):
                yield from closed.findings
            yield from self._tick()

    def _tick(self) -> Iterator[Event]:
        watermark = self._machine.watermark.value
        assert watermark is not None
        if self._told is not None and watermark < self._told + _TICK_SECONDS:
            return
        self._told = watermark
        tick = Tick(stage="watch", partition=0, watermark=watermark)
        yield Event(id="tick", source=WATCH_SOURCE, type=Tick.event_type, time=watermark, data=tick)


class AlertChain:
    """What stands on findings in, alert records out; streams of one partition or of many.

    Parameters
    ----------
    tenants
        Settings by tenant.
    opener
        Makes an alert's span.

    Notes
    -----
    Memory is one state a stream, as in the alert stage.
    """

    def __init__(self, tenants: Tenants, opener: Opener = no_span) -> None:
        self._tenants = tenants
        self._opener = opener
        self._place = PartitionAlerts({}, lambda state: self._stage(state).due(state))
        self._offset = 0

    def feed(self, event: Event) -> list[Event]:
        """Take a finding or a tick of watch; return the alert records that come of it."""
        self._offset += 1
        if isinstance(event.data, FindingRecord):
            return self._finding(event, event.data)
        if isinstance(event.data, Tick) and event.data.watermark is not None:
            return self._tick(event.data.watermark)
        return []

    def _finding(self, event: Event, finding: FindingRecord) -> list[Event]:
        state = self._place.state_of(finding)
        records = self._stage(state).finding(state, event, self._offset)
        self._place.changed(stream_key(finding.tenant, finding.model, finding.side))
        return records

    def _tick(self, watermark: float) -> list[Event]:
        records: list[Event] = []
        for key in self._place.due(watermark):
            state = self._place.states[key]
            records += self._stage(state).watermark(state, watermark, self._offset)
            self._place.changed(key)
        return records

    def _stage(self, state: StreamAlerts) -> Alerting:
        return Alerting(self._tenants(state.tenant), self._opener)
