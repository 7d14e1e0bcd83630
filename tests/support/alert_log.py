"""Findings of closed buckets, alert records, and a run of the alert stage over a recorded findings partition."""

from collections.abc import Iterable, Sequence
from typing import Any

from stream.settings import TenantSettings
from stream.stages.alert.machine import Alerting
from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.alert.state import StreamAlerts, decode, encode
from stream.wire import AlertRecord, Event, FindingRecord, Tick, stream_key
from stream.wire.ids import bucket_finding_id
from support.signal_log import MODEL, trace_of

ACME = stream_key("acme", MODEL, "input")


def settings(**sections: Any) -> TenantSettings:
    return TenantSettings.model_validate({"bucket_seconds": 5, **sections})


def bucket_finding(
    number: int,
    detector: str = "drift",
    *,
    alarm: bool = True,
    events: int = 10,
    principals: dict[str, int] | None = None,
    side: str = "input",
) -> Event:
    record = FindingRecord(
        tenant="acme",
        model=MODEL,
        side=side,
        detector=detector,
        version="1",
        time=(number + 1) * 5.0,
        alarm=alarm,
        bucket=number,
        bucket_seconds=5.0,
        statistic=20.0,
        limit=10.0,
        feature="embedding",
        events=events,
        principals=principals or {"k1": events // 2, "k2": events - events // 2},
        evidence=tuple(f"b{number}-{index}" for index in range(min(events, 20))),
        traces=(trace_of(number), trace_of(number + 1)),
    )
    key = stream_key("acme", MODEL, side)
    return Event(
        id=bucket_finding_id(key, detector, number),
        source="weir/watch",
        type=FindingRecord.event_type,
        time=record.time,
        data=record,
        traceparent=trace_of(number),
        partitionkey=key,
    )


class Alerts:
    """Runs the alert stage over findings and ticks of one partition, in order; offsets count from 0."""

    def __init__(self, tenant: TenantSettings | None = None) -> None:
        self.opened: list[tuple[str, str, str, tuple[str, ...]]] = []
        self.alerting = Alerting(tenant or settings(), self._open)
        self.place = PartitionAlerts({}, self.alerting.due)

    @property
    def states(self) -> dict[str, StreamAlerts]:
        return self.place.states

    @states.setter
    def states(self, states: dict[str, StreamAlerts]) -> None:
        self.place = PartitionAlerts(states, self.alerting.due)

    def _open(self, alert_id: str, detector: str, tipping: str, others: tuple[str, ...]) -> str:
        self.opened.append((alert_id, detector, tipping, others))
        return tipping

    def apply(self, event: Event, offset: int) -> list[Event]:
        if isinstance(event.data, Tick):
            assert event.data.watermark is not None
            return [
                record for key in self.place.due(event.data.watermark) for record in self._passed(key, event, offset)
            ]
        finding = event.data
        assert isinstance(finding, FindingRecord)
        records = self.alerting.finding(self.place.state_of(finding), event, offset)
        self.place.changed(stream_key(finding.tenant, finding.model, finding.side))
        return records

    def _passed(self, key: str, event: Event, offset: int) -> list[Event]:
        assert isinstance(event.data, Tick)
        assert event.data.watermark is not None
        records = self.alerting.watermark(self.states[key], event.data.watermark, offset)
        self.place.changed(key)
        return records

    def run(self, log: Iterable[Event], first: int = 0) -> list[Event]:
        return [record for offset, event in enumerate(log, first) for record in self.apply(event, offset)]

    def restart(self) -> None:
        """Go on from what the table holds."""
        self.states = {key: decode(encode(state)) for key, state in self.states.items()}


def told(records: Sequence[Event]) -> list[tuple[str, str, int, float]]:
    """Return (detector, state, revision, log time) of alert records."""
    result = []
    for event in records:
        assert isinstance(event.data, AlertRecord)
        result.append((event.data.detector, event.data.state, event.data.revision, event.data.at))
    return result
