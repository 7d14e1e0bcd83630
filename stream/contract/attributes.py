"""The headers of a record: CloudEvents attributes in Kafka's binary mode, and the headers of a dead letter."""

from stream.contract.schemas import Schema
from stream.dead_letters import DISPOSITIONS, HEADER_PREFIX
from stream.wire.codec import CONTENT_TYPE
from stream.wire.semconv import SEVERITY_NUMBERS


def _text(description: str, **more: object) -> Schema:
    return {"type": "string", "description": description, **more}


EVENT_HEADERS: Schema = {
    "type": "object",
    "title": "CloudEvents attributes",
    "description": "Header values are UTF-8 bytes. Ignore unknown headers. `source` and `id` together identify an event:"
    " a record with a known pair is a duplicate.",
    "properties": {
        "ce_specversion": _text("Version of CloudEvents.", const="1.0"),
        "ce_id": _text("Identity of the event within its source; it depends on no measurement."),
        "ce_source": _text("Producer of the event: a spool (`gateway-…`), a stage or a replay."),
        "ce_type": _text("Type and version of the data."),
        "ce_time": _text("Event time, UTC.", format="date-time"),
        "ce_subject": _text("Request, alert or retraining run of the event."),
        "ce_correlationid": _text("Id of the event's request: `x-request-id` of the gateway's response."),
        "ce_causationid": _text(
            "Id of the event that caused this event; of a silence or a review, the id of its alert."
        ),
        "ce_traceparent": _text(
            "W3C trace context of the event's origin; the header `traceparent`, without `ce_`, belongs to the last transport only."
        ),
        "ce_tracestate": _text("W3C trace state of the event's origin, at most 512 bytes."),
        "ce_partitionkey": _text("The record's key, as text."),
        "ce_severitynumber": _text(
            "OpenTelemetry severity number.", examples=[str(number) for number in SEVERITY_NUMBERS.values()]
        ),
        "ce_severitytext": _text("Severity.", examples=list(SEVERITY_NUMBERS)),
        "content-type": _text("Media type of the value.", const=CONTENT_TYPE.decode()),
    },
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type"],
}

_FACTS = {
    "topic": "Topic of the record.",
    "partition": "Partition of the record.",
    "offset": "Offset of the record.",
    "stage": "The stage that could not process the record: score, watch, alert or retrain.",
    "class.name": "The part of the stage.",
    "exception.class.name": "The class of the error, without its message, which may quote the text.",
    "reason": "Why the record is not an event of Weir, without a value of the record. Only with decode, schema and oversize.",
    "disposition": "The kind of failure.",
    "attempt": "How often the record became a dead letter.",
    "replayed": "On a note about a replayed dead letter: the offset of that letter.",
}

DEAD_LETTER_HEADERS: Schema = {
    "type": "object",
    "title": "Dead letter",
    "description": "The headers of the original record, and these headers.",
    "properties": {f"{HEADER_PREFIX}{name}": _text(what) for name, what in _FACTS.items()},
    "additionalProperties": True,
}
DEAD_LETTER_HEADERS["properties"][f"{HEADER_PREFIX}disposition"]["examples"] = list(DISPOSITIONS)
