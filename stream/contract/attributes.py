"""The headers of a record: CloudEvents' attributes in Kafka's binary mode, and those of a dead letter."""

from stream.contract.schemas import Schema
from stream.wire.codec import CONTENT_TYPE
from stream.wire.semconv import SEVERITY_NUMBERS

__all__ = ["DEAD_LETTER_HEADERS", "EVENT_HEADERS"]


def _text(description: str, **more: object) -> Schema:
    return {"type": "string", "description": description, **more}


EVENT_HEADERS: Schema = {
    "type": "object",
    "title": "CloudEvents attributes",
    "description": "Header values are UTF-8 bytes. Unknown headers are to be ignored. `source` and `id` together identify an event:"
    " the same pair again is a repeat, and changes nothing.",
    "properties": {
        "ce_specversion": _text("Version of CloudEvents.", const="1.0"),
        "ce_id": _text("Identity of the event within its source; it says what the event is, never what was measured."),
        "ce_source": _text("Who made it: a spool (`gateway-…`), a stage, a replay."),
        "ce_type": _text("Type and version of the data."),
        "ce_time": _text("Event time, UTC.", format="date-time"),
        "ce_subject": _text("The request, alert or retraining run that it is about."),
        "ce_correlationid": _text("The request id that it belongs to: `x-request-id` of the gateway's answer."),
        "ce_causationid": _text("Id of the event that caused it."),
        "ce_traceparent": _text("W3C trace context of its origin; a plain `traceparent` header is of the hop."),
        "ce_tracestate": _text("W3C trace state of its origin, 512 bytes at most."),
        "ce_partitionkey": _text("The record's key, as text."),
        "ce_severitynumber": _text(
            "OpenTelemetry severity number.", examples=[str(number) for number in SEVERITY_NUMBERS.values()]
        ),
        "ce_severitytext": _text("Severity in words.", examples=list(SEVERITY_NUMBERS)),
        "ce_dataclassification": _text("Classification of the data; reserved."),
        "ce_dataref": _text("Where data that is kept elsewhere is found; reserved."),
        "content-type": _text("Media type of the value.", const=CONTENT_TYPE.decode()),
    },
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type"],
}

_PREFIX = "__weir.errors."
_FACTS = {
    "topic": "The topic that the record stood on.",
    "partition": "Its partition.",
    "offset": "Its offset.",
    "stage": "The stage that gave up: score, watch, alert or retrain.",
    "class.name": "Where in that stage.",
    "exception.class.name": "The class of the error, never its message, which may quote the text.",
    "disposition": "Why.",
    "attempt": "How often it has come here.",
    "replayed": "On a note, which is no letter: the offset of the letter that was put back.",
}

DEAD_LETTER_HEADERS: Schema = {
    "type": "object",
    "title": "Dead letter",
    "description": "The record's own headers as they were, then these.",
    "properties": {f"{_PREFIX}{name}": _text(what) for name, what in _FACTS.items()},
    "additionalProperties": True,
}
DEAD_LETTER_HEADERS["properties"][f"{_PREFIX}disposition"]["examples"] = [
    "decode",
    "schema",
    "oversize",
    "timeout",
    "bug",
]
