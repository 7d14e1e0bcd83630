"""The alert agent: reads findings and publishes alerts."""

import logging
from functools import partial
from typing import Any

from stream.stages.alert.firing_alerts import FiringAlerts
from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.alert.state import decode
from stream.stages.shared.metrics import detector_label
from stream.stages.shared.spans import mark
from stream.stages.shared.stage import TableStage
from stream.stages.shared.state_codec import encode
from stream.wire import AlertRecord, Event, FindingRecord, Tick, partition_for, tenant_model_key
from stream.wire.semconv import WEIR_ALERT_ID, WEIR_DETECTOR

logger = logging.getLogger(__name__)
#: Number of records that are read first to find the last tick.
_FIRST_READ = 256


class AlertStage(TableStage):
    """Turns findings into alerts; its table has the same partitions as findings."""

    name = "alert"

    async def _apply(self, partition: PartitionAlerts, event: Event, raw: Any) -> dict[str, Any]:
        if isinstance(event.data, FindingRecord):
            self._context.metrics.findings_read.labels(detector_label(event.data.detector)).inc()
        apply = partial(partition.apply, event, raw.message.offset)
        none: list[Event] = []
        for record in await self._context.guarded(raw, self.name, apply, none):
            await self._publish(record)
        return partition.changed()

    async def _publish(self, event: Event) -> None:
        record = event.data
        assert isinstance(record, AlertRecord)
        partition = partition_for(tenant_model_key(record.tenant, record.model), self._context.kafka.stream_partitions)
        await self._context.publish(self._context.names.alerts, event, partition)
        label = detector_label(record.detector)
        self._context.metrics.alerts.labels(label, record.state, record.severity).inc()
        logger.info("alert %s %s revision %d", record.alert_id, record.state, record.revision)

    def _span(self, alert_id: str, detector: str, cause: str, others: tuple[str, ...]) -> str:
        attributes = {WEIR_ALERT_ID: alert_id, WEIR_DETECTOR: detector}
        return mark(self._context.tracer, f"alert {detector}", cause, others, attributes)

    async def _load(self, partition: int, offset: int) -> PartitionAlerts:
        states, lost = self._table.read(partition, decode)
        offsets = (state.offset for state in states.values())
        await self._context.check_log(self._table, self._context.names.findings, partition, offsets)
        if lost or not states:
            firing = await self._firing(partition)
            lost |= firing.streams() - set(states)
        if lost:
            rebuilt = (await self._rebuilt(partition, offset, lost)).states
            firing.continue_revisions(rebuilt)
            for event in firing.resolved(rebuilt, lost, await self._unread(partition, offset)):
                await self._publish(event)
            for key in lost:  # else a stream without further findings would be rebuilt at each assignment
                state = rebuilt.get(key)
                await self._table.rewrite(key.encode(), encode(state) if state else None, partition=partition)
            states |= rebuilt
        watermark = await self._watermark(partition, offset)
        return PartitionAlerts(self._context.tenants, states, self._span, watermark=watermark)

    async def _firing(self, partition: int) -> FiringAlerts:
        """Return the alerts on the alerts topic that fire and belong to a partition of findings."""
        kafka, topic = self._context.kafka, self._context.names.alerts
        firing = FiringAlerts(partition, kafka.stream_partitions)
        for number in range(kafka.stream_partitions):
            async for _, event in self._context.retained(topic, number, range(await self._context.end(topic, number))):
                firing.add(event)
        return firing

    async def _unread(self, partition: int, offset: int) -> set[str]:
        """Return the ids of the findings from `offset` on."""
        topic = self._context.names.findings
        offsets = range(offset, await self._context.end(topic, partition))
        return {event.id async for _, event in self._context.retained(topic, partition, offsets)}

    async def _watermark(self, partition: int, end: int) -> float | None:
        """Return the watermark of the last retained tick before offset `end`, or None if there is none."""
        found, start, count = None, end, _FIRST_READ
        while found is None and start > 0:
            stop, start = start, max(0, start - count)
            async for _, event in self._context.retained(self._context.names.findings, partition, range(start, stop)):
                if isinstance(event.data, Tick) and event.data.watermark is not None:
                    found = event.data.watermark
            count *= 16
        return found

    async def _rebuilt(self, partition: int, end: int, lost: set[str]) -> PartitionAlerts:
        """Return the alerts of the streams in `lost`, rebuilt from the retained findings; publish no alert again."""
        alerts = PartitionAlerts(self._context.tenants, only=lost)
        await self._context.rebuild(self._context.names.findings, partition, range(end), alerts.apply)
        return alerts
