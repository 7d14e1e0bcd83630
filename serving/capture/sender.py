"""Send one record of a spool with a producer: choose topic and partition, add a span, measure the duration."""

import asyncio
import time
from functools import partial
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from serving.capture.metrics import ShipperMetrics
from serving.capture.producer import DeliveryLost, Lease
from stream.telemetry import parent_context, traceparent_of
from stream.wire import Record, TopicNames, TraceParent, partition_for, semconv

Sent = asyncio.Future[Any]


class Sender:
    """Sends records; a record whose event belongs to a sampled trace gets a span."""

    def __init__(self, names: TopicNames, partitions: int, tracer: Tracer, metrics: ShipperMetrics) -> None:
        self._names = names
        self._partitions = partitions
        self._tracer = tracer
        self._metrics = metrics

    async def send(self, lease: Lease, record: Record, partition: int | None, *, feedback: bool = False) -> Sent:
        """Send `record` to `partition`, or to the partition of its key if None; returns and raises like :meth:`Lease.send`."""
        topic = self._names.feedback if feedback else self._names.inference
        if partition is None:
            partition = partition_for(record.key or b"", self._partitions)
        headers = list(record.headers)
        span = None
        found = dict(headers)
        parent = TraceParent.parse(found.get("ce_traceparent", b"").decode())
        if parent is not None:  # a heartbeat or gap record has no trace
            span = self._span(topic, partition, found) if parent.sampled else None
            traceparent = parent.header() if span is None else traceparent_of(span)
            headers.append(("traceparent", traceparent.encode()))
        began = time.monotonic()
        try:
            future = await lease.send(topic, partition, record.key, record.value, headers)
        except (DeliveryLost, MessageSizeTooLargeError, asyncio.CancelledError) as error:
            _end_span(span, error)
            raise
        future.add_done_callback(partial(self._sent, span, began))
        return future

    def _span(self, topic: str, partition: int, headers: dict[str, bytes]) -> Span:
        """Begin a span in the event's trace."""
        return self._tracer.start_span(
            f"send {topic}",
            context=parent_context(headers["ce_traceparent"].decode()),
            kind=SpanKind.PRODUCER,
            attributes={
                semconv.MESSAGING_SYSTEM: "kafka",
                semconv.MESSAGING_OPERATION_NAME: "send",
                semconv.MESSAGING_OPERATION_TYPE: "send",
                semconv.MESSAGING_DESTINATION_NAME: topic,
                semconv.MESSAGING_DESTINATION_PARTITION_ID: str(partition),
                semconv.WEIR_EVENT_ID: headers.get("ce_id", b"").decode(),
                semconv.WEIR_REQUEST_ID: headers.get("ce_correlationid", b"").decode(),
            },
        )

    def _sent(self, span: Span | None, began: float, future: Sent) -> None:
        error = None if future.cancelled() else future.exception()
        if error is None and not future.cancelled():
            self._metrics.produce_seconds.observe(time.monotonic() - began)
            if span is not None and span.is_recording():
                span.set_attribute(semconv.MESSAGING_KAFKA_OFFSET, future.result().offset)
        _end_span(span, error)


def _end_span(span: Span | None, error: BaseException | None) -> None:
    if span is not None:
        if error is not None:
            span.set_attribute(semconv.ERROR_TYPE, type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
