"""The alert agent: publish, write the state, acknowledge, a batch of what is waiting at a time."""

import logging
from functools import partial
from typing import Any

from stream.kafka.range_reader import retained
from stream.runtime.table import AckedTable
from stream.stages.alert.machine import Alerting
from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.alert.state import StreamAlerts, decode, encode
from stream.stages.shared.metrics import detector_label
from stream.stages.shared.spans import mark
from stream.stages.shared.stage import PartitionCache, StageContext
from stream.wire import (
    AlertRecord,
    Event,
    FindingRecord,
    SentinelRecord,
    Tick,
    partition_for,
    stream_key,
    tenant_model_key,
)
from stream.wire.semconv import WEIR_ALERT_ID, WEIR_DETECTOR

__all__ = ["AlertStage"]

logger = logging.getLogger(__name__)
_STAGE = "alert"


class AlertStage:
    """Findings to alerts.

    Parameters
    ----------
    context
        The app and what belongs to it.
    table
        Partitioned like findings.
    """

    def __init__(self, context: StageContext, table: AckedTable) -> None:
        self._context = context
        self._app = context.app
        self._table = table
        self._cache = PartitionCache(self._load)

    async def handle(self, batch: list[Any]) -> None:
        """Take raw events of findings, in order."""
        current = [raw for raw in batch if self._app.is_current(raw)]
        records: list[Event] = []
        touched: dict[str, tuple[StreamAlerts, Any]] = {}
        for raw in current:
            place = await self._cache.get(raw)
            event = await self._context.read(raw, _STAGE)
            if event is not None:
                apply = partial(self._apply, place, event, raw, touched)
                records += await self._context.guarded(raw, _STAGE, apply, [])
        for record in records:
            await self._publish(record)
        for key, (state, raw) in touched.items():
            if self._app.is_current(raw):
                await self._table.put(key.encode(), encode(state), partition=raw.message.partition)
        for raw in current:
            self._app.settle(raw)

    def _apply(
        self, place: PartitionAlerts, event: Event, raw: Any, touched: dict[str, tuple[StreamAlerts, Any]]
    ) -> list[Event]:
        if isinstance(event.data, FindingRecord):
            return self._finding(place, event, raw, touched)
        if isinstance(event.data, SentinelRecord):
            place.told(event.data)
        if isinstance(event.data, Tick) and event.data.watermark is not None:
            return self._tick(place, event.data.watermark, raw, touched)
        return []

    def _finding(
        self, place: PartitionAlerts, event: Event, raw: Any, touched: dict[str, tuple[StreamAlerts, Any]]
    ) -> list[Event]:
        finding = event.data
        assert isinstance(finding, FindingRecord)
        self._context.metrics.findings_read.labels(detector_label(finding.detector)).inc()
        state, key = place.state_of(finding), stream_key(finding.tenant, finding.model, finding.side)
        records = self._alerting(state.tenant, self._open, place.sentinels.get(state.model)).finding(
            state, event, raw.message.offset
        )
        place.changed(key)
        if state.offset == raw.message.offset:
            touched[key] = (state, raw)
        return records

    def _tick(
        self, place: PartitionAlerts, watermark: float, raw: Any, touched: dict[str, tuple[StreamAlerts, Any]]
    ) -> list[Event]:
        records = []
        for key in place.due(watermark):
            state = place.states[key]
            note = place.sentinels.get(state.model)
            found = self._alerting(state.tenant, self._open, note).watermark(state, watermark, raw.message.offset)
            place.changed(key)
            if found:
                touched[key] = (state, raw)
                records += found
        return records

    def _due(self, state: StreamAlerts) -> float | None:
        return self._alerting(state.tenant, self._open).due(state)

    def _alerting(self, tenant: str, opener: Any, sentinel: SentinelRecord | None = None) -> Alerting:
        return Alerting(self._context.tenants(tenant), opener, sentinel)

    def _open(self, alert_id: str, detector: str, tipping: str, others: tuple[str, ...]) -> str:
        attributes = {WEIR_ALERT_ID: alert_id, WEIR_DETECTOR: detector}
        return mark(self._context.tracer, f"alert {detector}", tipping, others, attributes)

    async def _publish(self, event: Event) -> None:
        record = event.data
        assert isinstance(record, AlertRecord)
        partition = partition_for(tenant_model_key(record.tenant, record.model), self._context.kafka.stream_partitions)
        await self._context.publish(self._context.names.alerts, event, partition)
        label = detector_label(record.detector)
        self._context.metrics.alerts.labels(label, record.state, record.severity).inc()
        logger.info("alert %s %s revision %d", record.alert_id, record.state, record.revision)

    async def _load(self, partition: int, offset: int) -> PartitionAlerts:
        states, lost = self._table.read(partition, decode)
        if lost:
            states |= (await self._rebuilt(partition, offset, lost)).states
        return PartitionAlerts(states, self._due)

    async def _rebuilt(self, partition: int, end: int, lost: set[str]) -> PartitionAlerts:
        """Replay the retained findings of the streams in `lost`; what they published then is not published again."""
        place = PartitionAlerts({}, self._due)
        options = self._context.kafka.client_options()
        async for offset, event in retained(
            options, self._context.names.findings, partition, range(end), self._app.progress
        ):
            if isinstance(event.data, Tick) and event.data.watermark is not None:
                for key in place.due(event.data.watermark):
                    state = place.states[key]
                    self._alerting(state.tenant, _no_span).watermark(state, event.data.watermark, offset)
                    place.changed(key)
            elif isinstance(event.data, FindingRecord):
                key = stream_key(event.data.tenant, event.data.model, event.data.side)
                if key in lost:
                    state = place.state_of(event.data)
                    self._alerting(state.tenant, _no_span).finding(state, event, offset)
                    place.changed(key)
        return place


def _no_span(_alert_id: str, _detector: str, tipping: str, _others: tuple[str, ...]) -> str:
    return tipping
