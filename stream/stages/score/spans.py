"""Spans of the score app: one per event, with a child span per verdict; one per batch, with links to its events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer, TracerProvider, set_span_in_context

from detectors.base import ERROR
from stream.telemetry import link_to, parent_context, traceparent_of
from stream.wire import Event, Verdict, semconv


class ScoreSpans:
    """Creates the spans of the app with consumer group `group`; spans contain no text of prompts or answers."""

    def __init__(self, provider: TracerProvider, topic: str, group: str) -> None:
        self._tracer: Tracer = provider.get_tracer("weir.score")
        self._name = f"process {topic}"
        self._common = {
            semconv.MESSAGING_SYSTEM: "kafka",
            semconv.MESSAGING_OPERATION_NAME: "process",
            semconv.MESSAGING_OPERATION_TYPE: "process",
            semconv.MESSAGING_DESTINATION_NAME: topic,
            semconv.MESSAGING_CONSUMER_GROUP_NAME: group,
        }

    def process(self, message: Any, event: Event) -> Span:
        """Start the span of one event: a child in the request's trace, with a link to the producer's span."""
        hop = (dict(message.headers or ()).get("traceparent") or b"").decode("ascii", "replace")
        return self._tracer.start_span(
            self._name,
            context=parent_context(event.traceparent) or Context(),
            kind=SpanKind.CONSUMER,
            links=link_to(hop),
            attributes=self._common
            | {
                semconv.MESSAGING_DESTINATION_PARTITION_ID: str(message.partition),
                semconv.MESSAGING_KAFKA_OFFSET: message.offset,
                semconv.WEIR_EVENT_ID: event.id,
                semconv.WEIR_REQUEST_ID: event.correlationid,
                semconv.WEIR_TENANT: getattr(event.data, "tenant", ""),
            },
        )

    @contextmanager
    def batch(self, spans: Sequence[Span]) -> Iterator[Span]:
        """Open the span of a batch: the root of a trace, with links from and to the spans of its events."""
        links = [Link(span.get_span_context()) for span in spans]
        batch = self._tracer.start_span(
            self._name,
            context=Context(),
            kind=SpanKind.CONSUMER,
            links=links,
            attributes=self._common | {semconv.MESSAGING_BATCH_MESSAGE_COUNT: len(spans)},
        )
        for span in spans:
            span.add_link(batch.get_span_context())
        try:
            yield batch
        finally:
            batch.end()

    def evaluate(self, parent: Span, verdict: Verdict, spent: tuple[int, int] | None) -> str:
        """Record a verdict as a child of its event's span; return the ``traceparent`` of the new span.

        If the verdict is an error, ``error.type`` states whether the detector read a part of the text.
        """
        span = self._tracer.start_span(
            f"evaluate {verdict.detector}",
            context=set_span_in_context(parent),
            start_time=spent[0] if spent else None,
            attributes={
                semconv.WEIR_DETECTOR: verdict.detector,
                semconv.WEIR_DETECTOR_VERSION: verdict.version,
                semconv.WEIR_FLAGGED: verdict.flagged,
            },
        )
        span.add_event(
            semconv.GEN_AI_EVALUATION_RESULT,
            {
                semconv.GEN_AI_EVALUATION_NAME: verdict.detector,
                semconv.GEN_AI_EVALUATION_SCORE_VALUE: verdict.score,
                semconv.GEN_AI_EVALUATION_SCORE_LABEL: verdict.label,
                semconv.WEIR_REQUEST_ID: verdict.request_id,
            },
            timestamp=spent[1] if spent else None,
        )
        if verdict.label == ERROR:
            span.set_attribute(semconv.ERROR_TYPE, "partial_verdict" if verdict.covered else "no_verdict")
            span.set_status(StatusCode.ERROR)
        span.end(spent[1] if spent else None)
        return traceparent_of(span)
