"""Watch, alert and retrain over what lies on the topics, from zero, in one go, without Kafka and without a kill: what ought to be there.

The machines are the product's own; whether they are a function of the log is what the property tests show. Here the question is
whether a worker that is killed, stopped, cut off and started again publishes and keeps the same.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from chaos.look import Raw
from stream.settings import TenantSettings
from stream.stages.alert.machine import Alerting
from stream.stages.alert.state import StreamAlerts
from stream.stages.retrain.machine import Retraining
from stream.stages.retrain.state import ModelState
from stream.stages.watch.buckets import Offer
from stream.stages.watch.machine import PartitionWatch, WatchRules
from stream.stages.watch.source_liveness import OWN_STREAM, LivenessRules, SourceLiveness
from stream.stages.watch.state import StreamState
from stream.stages.watch_app import stream_detectors
from stream.wire import (
    OWN_TENANT,
    AlertRecord,
    Event,
    FindingRecord,
    Signal,
    Tick,
    partition_for,
    stream_key,
    tenant_model_key,
)

__all__ = ["AlertReplay", "RetrainReplay", "Touch", "WatchReplay"]

Tenants = Callable[[str], TenantSettings]


class Touch(msgspec.Struct, frozen=True, gc=False):
    """A record that changed the state of `key`: until the state says so (`bucket` closed, or `offset` seen), it is unprocessed."""

    partition: int
    offset: int
    key: str
    bucket: int = -1


class WatchReplay:
    """One partition of signals.

    Attributes
    ----------
    findings
        What was to be published, by id.
    held
        The signals that a bucket was waited for with.
    late
        How many came after their bucket.
    """

    def __init__(
        self, partition: int, *, inference: int, signals: int, silence_seconds: float, tenants: Tenants
    ) -> None:
        own = tenants(OWN_TENANT)
        self._partition = partition
        self._tenants = tenants
        self._machine = PartitionWatch(
            WatchRules(
                partitions=inference,
                source_silence_seconds=silence_seconds,
                tenants=tenants,
                detectors=stream_detectors,
            )
        )
        self._silence = (
            SourceLiveness(
                LivenessRules(
                    partitions=inference,
                    silence_seconds=silence_seconds,
                    bucket_seconds=own.bucket_seconds,
                    clear_buckets=own.alerts.close_windows,
                    forget_seconds=7 * 86_400.0,
                )
            )
            if partition_for(OWN_STREAM, signals) == partition
            else None
        )
        self._open: dict[str, set[int]] = {}
        self.findings: dict[str, Event] = {}
        self.held: list[Touch] = []
        self.late = 0

    def take(self, raw: Raw, event: Event) -> None:
        """Take the next record."""
        if isinstance(event.data, Signal):
            self._signal(raw, event, event.data)
        elif isinstance(event.data, Tick):
            if self._silence is not None:
                self._found(self._silence.apply(event.data, raw.offset))
            if self._machine.tick(event.data):
                for closed in self._machine.closed():
                    self._found(closed.findings)
                    self._open[closed.key] -= set(closed.tokens)

    def _signal(self, raw: Raw, event: Event, signal: Signal) -> None:
        offer = self._machine.offer(event, raw.offset)
        self.late += offer is Offer.LATE
        if offer is Offer.HELD:
            key = stream_key(signal.tenant, signal.model, signal.side)
            bucket = int(signal.time // self._tenants(signal.tenant).bucket_seconds)
            self.held.append(Touch(self._partition, raw.offset, key, bucket))
            self._open.setdefault(key, set()).add(raw.offset)

    def _found(self, findings: list[Event]) -> None:
        self.findings |= {event.id: event for event in findings}

    @property
    def first_open(self) -> int | None:
        """The offset that is to be committed, None where nothing is open."""
        return min((min(offsets) for offsets in self._open.values() if offsets), default=None)

    def live(self) -> set[str]:
        """Return the sources that the watermark waits for."""
        return self._machine.watermark.live()

    def states(self) -> dict[str, StreamState]:
        """Return the state of each stream that closed a bucket."""
        streams = self._machine._streams
        return {key: stream.state() for key, stream in streams.items() if stream.buckets.last_closed is not None}


class AlertReplay:
    """One partition of findings.

    Attributes
    ----------
    alerts
        Alert records by (alert id, revision).
    kept
        The states as they are to be kept, by key.
    """

    def __init__(self, partition: int, tenants: Tenants) -> None:
        self._partition = partition
        self._tenants = tenants
        self._states: dict[str, StreamAlerts] = {}
        self.alerts: dict[tuple[str, int], AlertRecord] = {}
        self.kept: dict[str, bytes] = {}
        self.touches: list[Touch] = []

    def take(self, raw: Raw, event: Event) -> None:
        """Take the next record."""
        if isinstance(event.data, FindingRecord):
            self._finding(raw, event, event.data)
        elif isinstance(event.data, Tick) and event.data.watermark is not None:
            for key, state in self._states.items():
                told = self._alerting(state.tenant).watermark(state, event.data.watermark, raw.offset)
                if told:
                    self._touched(raw, key, state, told)

    def _finding(self, raw: Raw, event: Event, finding: FindingRecord) -> None:
        key = stream_key(finding.tenant, finding.model, finding.side)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = StreamAlerts(tenant=finding.tenant, model=finding.model, side=finding.side)
        told = self._alerting(state.tenant).finding(state, event, raw.offset)
        if state.offset == raw.offset:
            self._touched(raw, key, state, told)

    def _touched(self, raw: Raw, key: str, state: StreamAlerts, told: list[Event]) -> None:
        self.touches.append(Touch(self._partition, raw.offset, key))
        self.kept[key] = plain_alerts(state)
        for event in told:
            assert isinstance(event.data, AlertRecord)
            self.alerts[event.data.alert_id, event.data.revision] = event.data

    def _alerting(self, tenant: str) -> Alerting:
        return Alerting(self._tenants(tenant), lambda _id, _detector, tipping, _others: tipping)


def plain_alerts(state: StreamAlerts) -> bytes:
    """Return what of `state` is a function of the log at its last change: spans are not, and what is forgotten with ticks."""
    built: Any = msgspec.to_builtins(state)
    built["held"] = []
    for detector in built["detectors"].values():
        if detector["alert"]:
            detector["alert"]["traceparent"] = ""
        if detector["evidence"]:
            detector["evidence"]["traces"] = []
    built["detectors"] = {name: one for name, one in built["detectors"].items() if "\x1f" not in name or one["alert"]}
    return msgspec.json.encode(built, order="deterministic")


class RetrainReplay:
    """One partition of alerts; `decisions` by (retraining id, state)."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._states: dict[str, ModelState] = {}
        self.decisions: set[tuple[str, str]] = set()

    def take(self, raw: Raw, event: Event) -> None:
        """Take the next record."""
        record = event.data
        if not isinstance(record, AlertRecord) or record.tenant == OWN_TENANT:
            return
        key = tenant_model_key(record.tenant, record.model)
        state = self._states.setdefault(key, ModelState(tenant=record.tenant, model=record.model))
        decision = Retraining(self._tenants(record.tenant)).alert(state, event, raw.topic, raw.offset)
        if decision is not None:
            self.decisions.add((decision.record.retraining_id, decision.record.state))
