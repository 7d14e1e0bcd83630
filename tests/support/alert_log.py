"""Findings of closed buckets, alert records, and a run of the alert stage over a recorded findings partition."""

from collections.abc import Iterable
from typing import Any

from stream.settings import TenantSettings
from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.alert.state import decode
from stream.stages.shared.state_codec import encode
from stream.wire import Event, FindingRecord, stream_key
from stream.wire.ids import bucket_finding_id
from support.events import event_of
from support.signal_log import MODEL, trace_of

ACME = stream_key("acme", MODEL, "input")


def settings(**sections: Any) -> TenantSettings:
    return TenantSettings.model_validate({"bucket_seconds": 5, **sections})


def bucket_finding(
    number,
    detector="drift",
    *,
    alarm=True,
    events=10,
    principals=None,
    side="input",
    part="",
    seconds=5.0,
    feature="embedding",
) -> Event:
    key, end = stream_key("acme", MODEL, side, part), (number + 1) * seconds
    bucket = {"bucket": number, "bucket_seconds": seconds, "time": end, "alarm": alarm, "events": events}
    record = FindingRecord(
        tenant="acme",
        model=MODEL,
        side=side,
        part=part,
        detector=detector,
        version="1",
        statistic=20.0,
        limit=10.0,
        feature=feature,
        principals=principals or {"k1": events // 2, "k2": events - events // 2},
        evidence=tuple(f"b{number}-{index}" for index in range(min(events, 20))),
        traces=(trace_of(number), trace_of(number + 1)),
        **bucket,
    )
    identity, trace = bucket_finding_id(key, detector, number), trace_of(number)
    return event_of(record, identity, end, source="weir/watch", traceparent=trace, key=key)


class Alerts(PartitionAlerts):
    """The alert stage over findings and ticks of one partition, in order; offsets count from 0.

    `opened` has (alert id, detector, cause, other contexts) of each alert that opened.
    """

    def __init__(self, tenant: TenantSettings | None = None) -> None:
        self.opened: list[tuple[str, str, str, tuple[str, ...]]] = []
        self._tenant = tenant or settings()
        super().__init__(lambda _name: self._tenant, opener=self._record)

    def _record(self, alert_id: str, detector: str, cause: str, others: tuple[str, ...]) -> str:
        self.opened.append((alert_id, detector, cause, others))
        return cause

    def run(self, log: Iterable[Event], first: int = 0) -> list[Event]:
        return [record for offset, event in enumerate(log, first) for record in self.apply(event, offset)]

    def restart(self) -> None:
        """Restart from the encoded states, as after a recovery of the table."""
        states = {key: decode(encode(state)) for key, state in self.states.items()}
        super().__init__(lambda _name: self._tenant, states, self._record)


def told(records):
    """Return (detector, state, revision, event time) of alert records."""
    alerts = [event.data for event in records]
    return [(alert.detector, alert.state, alert.revision, alert.at) for alert in alerts]
