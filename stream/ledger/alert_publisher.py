"""Publishes the ledger's own alerts."""

import msgspec
from aiokafka import AIOKafkaProducer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link

from stream.kafka.publisher import publish
from stream.ledger.decisions import OutgoingAlert
from stream.settings import KafkaSettings
from stream.telemetry import link_to, traceparent_of
from stream.wire import AlertRecord, Event, TraceParent, partition_for, tenant_model_key
from stream.wire.semconv import SEVERITY_NUMBERS, WEIR_ALERT_ID, WEIR_DETECTOR, WEIR_TENANT


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


async def publish_alert(producer: AIOKafkaProducer, alert: OutgoingAlert, kafka: KafkaSettings) -> None:
    """Publish `alert`; raises a KafkaError if the broker does not acknowledge it."""
    partition = partition_for(tenant_model_key(alert.record.tenant, alert.record.model), kafka.stream_partitions)
    await publish(producer, kafka.names.alerts, alert_event(alert), partition=partition)
