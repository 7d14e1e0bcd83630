"""The alert agent: reads findings and publishes alerts."""

import logging
import time
from functools import partial
from math import inf
from typing import Any

from stream.kafka.time_ranges import data_range
from stream.runtime.table import AckedTable
from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.alert.published_alerts import PublishedAlerts
from stream.stages.alert.state import decode
from stream.stages.shared.metrics import detector_label
from stream.stages.shared.spans import mark
from stream.stages.shared.stage import StageContext, TableStage
from stream.stages.shared.state_codec import encode
from stream.wire import AlertRecord, Event, FindingRecord, Tick, partition_for, tenant_model_key
from stream.wire.semconv import WEIR_ALERT_ID, WEIR_DETECTOR

logger = logging.getLogger(__name__)
#: Number of records that are read first to find the last ticks.
_FIRST_READ = 256


class AlertStage(TableStage):
    """Turns findings into alerts; its table has the same partitions as findings."""

    name = "alert"

    def __init__(self, context: StageContext, table: AckedTable) -> None:
        super().__init__(context, table)
        self._published = PublishedAlerts(context.kafka.stream_partitions)
        self._read: dict[str, int] = {}
        # {partition of findings: end of the findings at its assignment}, until they were read
        self._unread: dict[int, int] = {}

    async def _apply(self, partition: PartitionAlerts, event: Event, raw: Any) -> dict[str, Any]:
        if isinstance(event.data, FindingRecord):
            self._context.metrics.findings_read.labels(detector_label(event.data.detector)).inc()
        apply = partial(partition.apply, event, raw.message.offset)
        none: list[Event] = []
        for record in await self._context.guarded(raw, self.name, apply, none):
            await self._publish(record)
        number = raw.message.partition
        if raw.message.offset + 1 >= self._unread.get(number, inf):
            del self._unread[number]
            for record in self._published.corrections(number, partition.states):
                await self._publish(record)
        return partition.changed()

    async def _publish(self, event: Event) -> None:
        record = event.data
        assert isinstance(record, AlertRecord)
        partition = partition_for(tenant_model_key(record.tenant, record.model), self._context.kafka.stream_partitions)
        await self._context.publish(self._context.names.alerts, event, partition)
        self._published.add(event)
        label = detector_label(record.detector)
        self._context.metrics.alerts.labels(label, record.state, record.severity).inc()
        # The other records of an alert are updates of its evidence: one every few seconds for each firing alert.
        level = logging.INFO if record.revision == 0 or record.state == "resolved" else logging.DEBUG
        logger.log(
            level,
            "alert %s %s: %s, tenant %s, model %s",
            record.alert_id,
            record.state,
            record.detector,
            record.tenant,
            record.model,
        )

    def _span(self, alert_id: str, detector: str, cause: str, others: tuple[str, ...]) -> str:
        attributes = {WEIR_ALERT_ID: alert_id, WEIR_DETECTOR: detector}
        return mark(self._context.tracer, f"alert {detector}", cause, others, attributes)

    async def _load(self, partition: int, offset: int) -> PartitionAlerts:
        states, lost = self._table.read(partition, decode)
        offsets = (state.offset for state in states.values())
        await self._context.check_log(self._table, self._context.names.findings, partition, offsets)
        watermark = await self._watermark(partition, offset)
        if not self._partitions:
            # Once per assignment: this worker may have lost it, and the next owner's records do not match the findings read here.
            await self._read_alerts(watermark)
        self._unread[partition] = await self._context.end(self._context.names.findings, partition)
        missing = set() if states else self._published.streams(partition)
        if lost | missing:
            rebuilt = (await self._rebuilt(partition, offset, lost | missing)).states
            # A lost state would be rebuilt at each assignment. A missing state can be in another worker's last write: no tombstone.
            for key in lost | rebuilt.keys():
                state = rebuilt.get(key)
                await self._table.rewrite(key.encode(), encode(state) if state else None, partition=partition)
            states |= rebuilt
        return PartitionAlerts(self._context.tenants, states, self._span, watermark=watermark)

    async def _read_alerts(self, watermark: float | None) -> None:
        """Read the alerts topic from the last read record on, at first only the records of the retention: the topic has all alerts ever."""
        kafka, topic, progress = self._context.kafka, self._context.names.alerts, self._app.progress
        since = max(0.0, min(watermark or 0.0, time.time()) - 3600 * kafka.retention_hours)
        log = await data_range(kafka.client_options(), topic, kafka.stream_partitions, since, None, progress=progress)
        for number, end in log.last.items():
            offsets = range(max(log.first[number], self._read.get(number, 0)), end)
            async for _, event in self._context.retained(topic, int(number), offsets):
                self._published.add(event)
            self._read[number] = end

    async def _watermark(self, partition: int, end: int) -> float | None:
        """Return the largest watermark of the last retained ticks before offset `end`, or None if there are none."""
        found, start, count = None, end, _FIRST_READ
        while found is None and start > 0:
            stop, start = start, max(0, start - count)
            async for _, event in self._context.retained(self._context.names.findings, partition, range(start, stop)):
                if isinstance(event.data, Tick) and event.data.watermark is not None:
                    found = max(event.data.watermark, found or 0.0)
            count *= 16
        return found

    async def _rebuilt(self, partition: int, end: int, lost: set[str]) -> PartitionAlerts:
        """Return the alerts of the streams in `lost`, rebuilt from the retained findings; publish no alert again."""
        alerts = PartitionAlerts(self._context.tenants, only=lost)
        await self._context.rebuild(self._context.names.findings, partition, range(end), alerts.apply)
        return alerts
