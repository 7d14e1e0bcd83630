"""Publishes the ledger's own alerts."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link

from stream.kafka.clients import BROKER_ERRORS, producer_for
from stream.kafka.publisher import publish
from stream.ledger.decisions import OutgoingAlert
from stream.telemetry import link_to, traceparent_of
from stream.wire import AlertRecord, Event, TopicNames, TraceParent, partition_for, tenant_model_key
from stream.wire.semconv import SEVERITY_NUMBERS, WEIR_ALERT_ID, WEIR_DETECTOR, WEIR_TENANT

_STOP_SECONDS = 10.0


def with_span(record: AlertRecord, provider: TracerProvider, evidence: tuple[str, ...]) -> OutgoingAlert:
    """Create a span that links to the trace contexts in `evidence`; return `record`, a new alert, with this span."""
    links: list[Link] = [link for parent in evidence for link in link_to(parent)]
    span = provider.get_tracer("weir.ledger").start_span(f"alert {record.detector}", links=links)
    span.set_attributes({WEIR_ALERT_ID: record.alert_id, WEIR_DETECTOR: record.detector, WEIR_TENANT: record.tenant})
    span.end()
    traceparent = traceparent_of(span)
    parsed = TraceParent.parse(traceparent)
    trace_id = parsed.trace_id if parsed else ""
    return OutgoingAlert(record=msgspec.structs.replace(record, trace_id=trace_id), traceparent=traceparent)


def alert_event(alert: OutgoingAlert) -> Event:
    """Return the event of one revision of an alert; the same revision always has the same bytes."""
    record = alert.record
    return Event(
        id=f"{record.alert_id}/{record.revision}",
        source="weir/ledger",
        type=AlertRecord.event_type,
        time=record.at,
        data=record,
        subject=record.alert_id,
        traceparent=alert.traceparent,
        partitionkey=record.alert_id,
        severitynumber=str(SEVERITY_NUMBERS[record.severity]),
        severitytext=record.severity,
    )


class AlertPublisher:
    """Publishes alerts; its producer starts with the first alert. The alerts topic has `partitions` partitions."""

    def __init__(self, options: Mapping[str, Any], names: TopicNames, partitions: int) -> None:
        self._options = dict(options)
        self._topic = names.alerts
        self._partitions = partitions
        self._clients = contextlib.AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None

    async def send(self, alert: OutgoingAlert) -> None:
        """Publish `alert`; raises a KafkaError if the broker does not acknowledge it."""
        if self._producer is None:
            self._producer = await self._clients.enter_async_context(producer_for(self._options))
        partition = partition_for(tenant_model_key(alert.record.tenant, alert.record.model), self._partitions)
        await publish(self._producer, self._topic, alert_event(alert), partition=partition)

    async def close(self) -> None:
        """Stop the producer; unsent alerts stay in the table `outbox` and are sent later."""
        self._producer = None
        with contextlib.suppress(*BROKER_ERRORS):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._clients.aclose()
