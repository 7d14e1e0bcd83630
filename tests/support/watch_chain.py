"""The three stages of the watch app in a row, without Kafka, over one partition of each topic."""

from collections.abc import Iterable
from typing import Any

import msgspec

from stream.alerting.machine import Alerting
from stream.alerting.state import StreamAlerts
from stream.retraining.machine import Decision, Retraining
from stream.retraining.state import ModelState
from stream.settings import TenantSettings, tenant_settings
from stream.watch.machine import PartitionWatch, WatchRules
from stream.watch.silence import OWN_TENANT, SilenceRules, SilenceWatch
from stream.wire import AlertRecord, Event, FindingRecord, Signal, Tick, stream_key, tenant_model_key


class Chain:
    """Takes what score publishes, in its order: signals and ticks for watch, findings of single events for alert.

    Attributes
    ----------
    findings, alerts, decisions
        What stands on the topics afterwards; decisions with the log time that they were made at.
    """

    def __init__(self, patterns: dict[str, dict[str, Any]], detectors: Any, partitions: int = 2) -> None:
        self._patterns = patterns
        self._watch = PartitionWatch(
            WatchRules(partitions=partitions, source_silence_seconds=60.0, tenants=self._tenant, detectors=detectors)
        )
        own = self._tenant(OWN_TENANT)
        self._silence = SilenceWatch(
            SilenceRules(
                partitions=partitions,
                silence_seconds=60.0,
                bucket_seconds=own.bucket_seconds,
                clear_buckets=own.alerts.close_windows,
                forget_seconds=86_400.0,
            )
        )
        self._streams: dict[str, StreamAlerts] = {}
        self._models: dict[str, ModelState] = {}
        self.findings: list[Event] = []
        self.alerts: list[Event] = []
        self.decisions: list[Decision] = []

    def _tenant(self, name: str) -> TenantSettings:
        return tenant_settings(self._patterns, name)

    def run(self, log: Iterable[Event]) -> "Chain":
        for event in log:
            if isinstance(event.data, FindingRecord):
                self._found(event)
            elif isinstance(event.data, Signal):
                self._watch.offer(event, None)
            elif isinstance(event.data, Tick):
                for finding in self._silence.apply(event.data, self._silence.offset + 1):
                    self._found(finding)
                if self._watch.tick(event.data):
                    self._advanced()
        return self

    def _advanced(self) -> None:
        for closed in self._watch.closed():
            for finding in closed.findings:
                self._found(finding)
        watermark = self._watch.watermark.value
        assert watermark is not None
        tick = Tick(stage="watch", partition=0, watermark=watermark)
        self.findings.append(Event(id="tick", source="weir/watch", type=Tick.event_type, time=watermark, data=tick))
        for state in self._streams.values():
            stage = Alerting(self._tenant(state.tenant), _span)
            self._alerted(stage.watermark(state, watermark, len(self.findings)))

    def _found(self, event: Event) -> None:
        finding = event.data
        assert isinstance(finding, FindingRecord)
        self.findings.append(event)
        state = self._streams.setdefault(
            stream_key(finding.tenant, finding.model, finding.side),
            StreamAlerts(tenant=finding.tenant, model=finding.model, side=finding.side),
        )
        self._alerted(Alerting(self._tenant(finding.tenant), _span).finding(state, event, len(self.findings)))

    def _alerted(self, records: list[Event]) -> None:
        for event in records:
            self.alerts.append(event)
            record = event.data
            assert isinstance(record, AlertRecord)
            state = self._models.setdefault(
                tenant_model_key(record.tenant, record.model), ModelState(tenant=record.tenant, model=record.model)
            )
            decision = Retraining(self._tenant(record.tenant)).alert(state, event, "alerts", len(self.alerts))
            if decision is not None:
                self.decisions.append(decision)

    def replayed(self, detectors: Any) -> "Chain":
        """Return a fresh chain that was given the recorded findings partition alone."""
        again = Chain(self._patterns, detectors)
        for event in self.findings:
            if isinstance(event.data, Tick):
                assert event.data.watermark is not None
                again.findings.append(event)
                for state in again._streams.values():
                    stage = Alerting(again._tenant(state.tenant), _span)
                    again._alerted(stage.watermark(state, event.data.watermark, len(again.findings)))
            else:
                again._found(event)
        return again


def _span(_alert_id: str, _detector: str, tipping: str, _others: tuple[str, ...]) -> str:
    return tipping


def plain(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return events as plain data, to compare."""
    return [msgspec.to_builtins(event) for event in events]
