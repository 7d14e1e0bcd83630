"""Spans of findings, alerts and retraining decisions: children of their cause, linked to the other evidence."""

from collections.abc import Iterable, Mapping

from opentelemetry.trace import SpanKind, Tracer

from stream.telemetry import link_to, parent_context, traceparent_of

_LINKS = 20


def mark(tracer: Tracer, name: str, parent: str, others: Iterable[str], attributes: Mapping[str, str | float]) -> str:
    """Create a span `name` that begins and ends now, as a child of `parent`; return the span's traceparent.

    `parent` is the traceparent of the cause ("" starts a new trace). The span has links to `others`, the traceparents of the other
    evidence. `attributes` never contain the text of a prompt.
    """
    links = [link for other in list(others)[:_LINKS] for link in link_to(other)]
    span = tracer.start_span(
        name, context=parent_context(parent), kind=SpanKind.INTERNAL, links=links, attributes=dict(attributes)
    )
    span.end()
    return traceparent_of(span)
