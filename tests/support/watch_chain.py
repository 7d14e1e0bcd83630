"""The three stages of the watch app in a row, without Kafka, over one partition of each topic."""

from collections.abc import Iterable
from typing import Any

import msgspec

from stream.replay.watch_chain import WatchChain
from stream.settings import KafkaSettings, TenantSettings, tenant_settings
from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.retrain.machine import Retraining
from stream.stages.retrain.records import Decision
from stream.stages.retrain.state import ModelState
from stream.stages.watch.machine import WatchRules
from stream.stages.watch.source_liveness import LivenessRules, SourceLiveness
from stream.wire import OWN_TENANT, AlertRecord, Event, FindingRecord, Tick, tenant_model_key


class Chain:
    """Applies score's events in order; `findings`, `alerts` and `decisions` have the events that the stages published."""

    def __init__(self, patterns: dict[str, dict[str, Any]], detectors: Any, partitions: int = 2) -> None:
        self._patterns = patterns
        self._watch = WatchChain(
            WatchRules(partitions=partitions, source_silence_seconds=60.0, tenants=self._tenant, detectors=detectors)
        )
        kafka = KafkaSettings(partitions=partitions)
        self._silence = SourceLiveness(LivenessRules.of(kafka, self._tenant(OWN_TENANT), 60.0))
        self._alerts = PartitionAlerts(self._tenant)
        self._models: dict[str, ModelState] = {}
        self.findings: list[Event] = []
        self.alerts: list[Event] = []
        self.decisions: list[Decision] = []

    def _tenant(self, name: str) -> TenantSettings:
        return tenant_settings(self._patterns, name)

    def run(self, log: Iterable[Event]) -> "Chain":
        for event in log:
            if isinstance(event.data, Tick):
                for finding in self._silence.apply(event.data, self._silence.offset + 1):
                    self._found(finding)
            for found in [event] if isinstance(event.data, FindingRecord) else self._watch.feed(event):
                self._found(found)
        return self

    def _found(self, event: Event) -> None:
        self.findings.append(event)
        for record in self._alerts.apply(event):
            self._alerted(record)

    def _alerted(self, event: Event) -> None:
        self.alerts.append(event)
        record = event.data
        assert isinstance(record, AlertRecord)
        state = self._models.setdefault(
            tenant_model_key(record.tenant, record.model), ModelState(tenant=record.tenant, model=record.model)
        )
        decision = Retraining(self._tenant(record.tenant)).alert(state, event, len(self.alerts))
        if decision is not None:
            self.decisions.append(decision)

    def replayed(self, detectors: Any) -> "Chain":
        """Return a new chain that has applied only the recorded findings."""
        again = Chain(self._patterns, detectors)
        for event in self.findings:
            again._found(event)
        return again


def plain(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return events as plain data, to compare."""
    return [msgspec.to_builtins(event) for event in events]
