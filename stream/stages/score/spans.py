"""Spans of the score app: one for each event with one for each detector below it, and one for each batch, linked to its events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer, TracerProvider, set_span_in_context

from stream.telemetry import link_to, parent_context, traceparent_of
from stream.wire import Event, Verdict
from stream.wire.semconv import (
    GEN_AI_EVALUATION_NAME,
    GEN_AI_EVALUATION_RESULT,
    GEN_AI_EVALUATION_SCORE_LABEL,
    GEN_AI_EVALUATION_SCORE_VALUE,
    MESSAGING_BATCH_MESSAGE_COUNT,
    MESSAGING_CONSUMER_GROUP_NAME,
    MESSAGING_DESTINATION_NAME,
    MESSAGING_DESTINATION_PARTITION_ID,
    MESSAGING_KAFKA_OFFSET,
    MESSAGING_OPERATION_NAME,
    MESSAGING_OPERATION_TYPE,
    MESSAGING_SYSTEM,
    WEIR_DETECTOR,
    WEIR_DETECTOR_VERSION,
    WEIR_EVENT_ID,
    WEIR_FLAGGED,
    WEIR_REQUEST_ID,
    WEIR_TENANT,
)

__all__ = ["ScoreSpans"]


class ScoreSpans:
    """Makes the spans of one app; none contains text.

    Parameters
    ----------
    provider
        Exports the spans.
    topic, group
        The inference topic and the app's consumer group.
    """

    def __init__(self, provider: TracerProvider, topic: str, group: str) -> None:
        self._tracer: Tracer = provider.get_tracer("weir.score")
        self._name = f"process {topic}"
        self._common = {
            MESSAGING_SYSTEM: "kafka",
            MESSAGING_OPERATION_NAME: "process",
            MESSAGING_OPERATION_TYPE: "process",
            MESSAGING_DESTINATION_NAME: topic,
            MESSAGING_CONSUMER_GROUP_NAME: group,
        }

    def process(self, message: Any, event: Event) -> Span:
        """Start the span of one event: a child of the request's context, linked to the producer's span."""
        hop = dict(message.headers or ()).get("traceparent", b"").decode("ascii", "replace")
        return self._tracer.start_span(
            self._name,
            context=parent_context(event.traceparent) or Context(),
            kind=SpanKind.CONSUMER,
            links=link_to(hop),
            attributes=self._common
            | {
                MESSAGING_DESTINATION_PARTITION_ID: str(message.partition),
                MESSAGING_KAFKA_OFFSET: message.offset,
                WEIR_EVENT_ID: event.id,
                WEIR_REQUEST_ID: event.correlationid,
                WEIR_TENANT: getattr(event.data, "tenant", ""),
            },
        )

    @contextmanager
    def batch(self, spans: Sequence[Span]) -> Iterator[Span]:
        """Open a span over a batch: the root of a trace, linked to its events, and they to it."""
        links = [Link(span.get_span_context()) for span in spans]
        batch = self._tracer.start_span(
            self._name,
            context=Context(),
            kind=SpanKind.CONSUMER,
            links=links,
            attributes=self._common | {MESSAGING_BATCH_MESSAGE_COUNT: len(spans)},
        )
        for span in spans:
            span.add_link(batch.get_span_context())
        try:
            yield batch
        finally:
            batch.end()

    def evaluate(self, parent: Span, verdict: Verdict, spent: tuple[int, int] | None) -> str:
        """Record a verdict below its event's span; return the ``traceparent`` of the new span."""
        span = self._tracer.start_span(
            f"evaluate {verdict.detector}",
            context=set_span_in_context(parent),
            start_time=spent[0] if spent else None,
            attributes={
                WEIR_DETECTOR: verdict.detector,
                WEIR_DETECTOR_VERSION: verdict.version,
                WEIR_FLAGGED: verdict.flagged,
            },
        )
        span.add_event(
            GEN_AI_EVALUATION_RESULT,
            {
                GEN_AI_EVALUATION_NAME: verdict.detector,
                GEN_AI_EVALUATION_SCORE_VALUE: verdict.score,
                GEN_AI_EVALUATION_SCORE_LABEL: verdict.label,
                WEIR_REQUEST_ID: verdict.request_id,
            },
            timestamp=spent[1] if spent else None,
        )
        span.end(spent[1] if spent else None)
        return traceparent_of(span)
