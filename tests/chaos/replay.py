"""Run watch, alert and retrain over the recorded log from offset 0, without Kafka or faults: the expected records and states.

The state machines are the product's; property tests show that their results are a function of the log. The lab checks that a worker
that is killed, stopped, disconnected and restarted publishes and stores the same results.
"""

import msgspec

from stream.stages.alert.machine import Alerting
from stream.stages.alert.state import StreamAlerts
from stream.stages.retrain.machine import Retraining
from stream.stages.retrain.state import ModelState
from stream.stages.watch.buckets import Offer
from stream.stages.watch.machine import PartitionWatch, WatchRules
from stream.stages.watch.source_liveness import OWN_STREAM, LivenessRules, SourceLiveness
from stream.stages.watch.state import decode_stream
from stream.stages.watch_app import stream_detectors
from stream.wire import (
    OWN_TENANT,
    AlertRecord,
    FindingRecord,
    Signal,
    Tick,
    partition_for,
    stream_key,
    tenant_model_key,
)


class Touch(msgspec.Struct, frozen=True, gc=False):
    """A record that changes the state of `key`; it is finished when the state has closed `bucket`, or has reached `offset`."""

    partition: int
    offset: int
    key: str
    bucket: int = -1


class WatchReplay:
    """One partition of signals: expected findings by id and states by key, and the signals that wait for their bucket."""

    def __init__(self, partition, *, kafka, silence_seconds, tenants) -> None:
        self._partition = partition
        self._tenants = tenants
        self._machine = PartitionWatch(
            WatchRules(
                partitions=kafka.partitions,
                source_silence_seconds=silence_seconds,
                tenants=tenants,
                detectors=stream_detectors,
            )
        )
        own = partition_for(OWN_STREAM, kafka.stream_partitions) == partition
        rules = LivenessRules.of(kafka, tenants(OWN_TENANT), silence_seconds)
        self._liveness = SourceLiveness(rules) if own else None
        self._open = {}
        self.findings = {}
        self.states = {}
        self.touches = []
        self.late = 0

    def add(self, raw, event):
        """Apply the next record."""
        if isinstance(event.data, Signal):
            self._signal(raw, event, event.data)
        elif isinstance(event.data, Tick):
            if self._liveness is not None:
                self._found(self._liveness.apply(event.data, raw.offset))
            if self._machine.tick(event.data):
                for closed in self._machine.closed():
                    self._found(closed.findings)
                    self.states[closed.key] = decode_stream(closed.state)
                    self._open[closed.key] -= set(closed.tokens)

    def _signal(self, raw, event, signal):
        offer = self._machine.offer(event, raw.offset)
        self.late += offer is Offer.LATE
        if offer is Offer.HELD:
            key = stream_key(signal.tenant, signal.model, signal.side)
            bucket = int(signal.time // self._tenants(signal.tenant).bucket_seconds)
            self.touches.append(Touch(self._partition, raw.offset, key, bucket))
            self._open.setdefault(key, set()).add(raw.offset)

    def _found(self, findings):
        self.findings |= {event.id: event for event in findings}

    @property
    def first_open(self):
        """The offset to commit, or None if no bucket is open."""
        return min((min(offsets) for offsets in self._open.values() if offsets), default=None)

    def live(self):
        """Return the sources that the watermark waits for."""
        return self._machine.watermark.live()


class AlertReplay:
    """One partition of findings: expected alert records by (alert id, revision), and states by key."""

    def __init__(self, partition, tenants) -> None:
        self._partition = partition
        self._tenants = tenants
        self._states = {}
        self._watermark = None
        self.alerts = {}
        self.states = {}
        self.touches = []

    def add(self, raw, event):
        """Apply the next record."""
        if isinstance(event.data, FindingRecord):
            self._finding(raw, event, event.data)
        elif isinstance(event.data, Tick) and event.data.watermark is not None:
            self._watermark = max(event.data.watermark, self._watermark or 0.0)
            for key, state in list(self._states.items()):
                alerts = self._alerting(state.tenant).watermark(state, self._watermark, raw.offset)
                if alerts:
                    self._touched(raw, key, state, alerts)
                if not (state.detectors or state.held):
                    del self._states[key]
                    self.states.pop(key, None)

    def _finding(self, raw, event, finding):
        key = stream_key(finding.tenant, finding.model, finding.side)
        fresh = StreamAlerts(tenant=finding.tenant, model=finding.model, side=finding.side)
        state = self._states.setdefault(key, fresh)
        alerts = self._alerting(state.tenant).finding(state, event, raw.offset)
        if state.offset == raw.offset:
            self._touched(raw, key, state, alerts)

    def _touched(self, raw, key, state, alerts):
        self.touches.append(Touch(self._partition, raw.offset, key))
        self.states[key] = plain_alerts(state)
        self.alerts |= {(event.data.alert_id, event.data.revision): event.data for event in alerts}

    def _alerting(self, tenant):
        return Alerting(self._tenants(tenant), _tipping, watermark=self._watermark)


def _tipping(_id, _detector, tipping, _others):
    return tipping


def plain_alerts(state):
    """Return the part of `state` that depends only on the log up to its last change: no spans, and no entries that ticks remove."""
    built = msgspec.to_builtins(state, str_keys=True)
    built["held"] = []
    for detector in built["detectors"].values():
        if detector["alert"]:
            detector["alert"]["traceparent"] = ""
        if detector["evidence"]:
            detector["evidence"]["traces"] = []
    built["detectors"] = {name: one for name, one in built["detectors"].items() if "\x1f" not in name or one["alert"]}
    return msgspec.json.encode(built, order="deterministic")


class RetrainReplay:
    """One partition of alerts: expected decisions by (retraining id, state)."""

    def __init__(self, tenants) -> None:
        self._tenants = tenants
        self._states = {}
        self.decisions = {}

    def add(self, raw, event):
        """Apply the next record."""
        record = event.data
        if not isinstance(record, AlertRecord) or record.tenant == OWN_TENANT:
            return
        key = tenant_model_key(record.tenant, record.model)
        state = self._states.setdefault(key, ModelState(tenant=record.tenant, model=record.model))
        decision = Retraining(self._tenants(record.tenant)).alert(state, event, raw.offset)
        if decision is not None:
            self.decisions[decision.record.retraining_id, decision.record.state] = decision.record
