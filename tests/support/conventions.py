"""OpenTelemetry's conventions for the GenAI and messaging spans that Weir creates: names, kinds, attributes.

They are compared with exported spans, in memory or from Jaeger's API.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

_GEN_AI_REQUIRED = {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"}
_GEN_AI = _GEN_AI_REQUIRED | {
    *(f"gen_ai.request.{name}" for name in ("stream", "temperature", "top_p", "max_tokens", "seed", "stop_sequences")),
    *(f"gen_ai.response.{name}" for name in ("id", "model", "finish_reasons", "time_to_first_chunk")),
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.conversation.id",
}
_MESSAGING_REQUIRED = {
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
}
_MESSAGING = _MESSAGING_REQUIRED | {
    "messaging.destination.partition.id",
    "messaging.consumer.group.name",
    "messaging.kafka.offset",
    "messaging.kafka.message.key",
    "messaging.batch.message_count",
}
_MESSAGING_KINDS = {"send": "PRODUCER", "receive": "CLIENT", "process": "CONSUMER"}
_RESULT = "gen_ai.evaluation.result"
_RESULT_REQUIRED = {"gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "gen_ai.evaluation.score.label"}
#: Spans contain no content: it is in Kafka, and the span has its location.
_CONTENT = {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"}


class SpanSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An exported span; events are (name, attributes)."""

    name: str
    kind: str
    attributes: Mapping[str, Any]
    events: list[tuple[str, Mapping[str, Any]]] = []


def exported(spans: Iterable[Any]) -> list[SpanSeen]:
    """Return the spans of an in-memory exporter."""
    return [
        SpanSeen(
            name=span.name,
            kind=span.kind.name,
            attributes=span.attributes,
            events=[(event.name, event.attributes) for event in span.events],
        )
        for span in spans
    ]


def departures(spans: Iterable[SpanSeen]) -> list[str]:
    """Return one line for each departure from the conventions."""
    return [f"{span.name}: {line}" for span in spans for line in _of(span)]


def _of(span: SpanSeen) -> Iterable[str]:
    names = set(span.attributes)
    yield from (f"{name} is content" for name in sorted(names & _CONTENT))
    yield from (f"{name} is no attribute of the conventions" for name in sorted(_unknown(names)))
    if "gen_ai.operation.name" in names:
        yield from _inference(span)
    if "messaging.operation.name" in names:
        yield from _hop(span)
    for event, attributes in span.events:
        if event == _RESULT:
            yield from (f"{_RESULT} lacks {name}" for name in sorted(_RESULT_REQUIRED - set(attributes)))


def _unknown(names: set[str]) -> set[str]:
    ours = {name for name in names if name.startswith(("gen_ai.", "messaging."))}
    return ours - _GEN_AI - _MESSAGING - _CONTENT


def _inference(span: SpanSeen) -> Iterable[str]:
    yield from (f"lacks {name}" for name in sorted(_GEN_AI_REQUIRED - set(span.attributes)))
    wanted = f"{span.attributes['gen_ai.operation.name']} {span.attributes.get('gen_ai.request.model')}"
    if span.name != wanted:
        yield f"should be called {wanted!r}"
    if span.kind not in {"CLIENT", "INTERNAL"}:
        yield f"is {span.kind}, an inference is CLIENT or INTERNAL"


def _hop(span: SpanSeen) -> Iterable[str]:
    yield from (f"lacks {name}" for name in sorted(_MESSAGING_REQUIRED - set(span.attributes)))
    operation = span.attributes["messaging.operation.name"]
    wanted = f"{operation} {span.attributes.get('messaging.destination.name')}"
    if span.name != wanted:
        yield f"should be called {wanted!r}"
    if span.kind != _MESSAGING_KINDS.get(operation):
        yield f"is {span.kind}, {operation} is {_MESSAGING_KINDS.get(operation)}"
    one = {"messaging.destination.partition.id", "messaging.kafka.offset"} <= set(span.attributes)
    if not one and "messaging.batch.message_count" not in span.attributes:
        yield "names neither a partition and an offset nor a batch's count"
