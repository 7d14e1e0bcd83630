"""CloudEvents 1.0 in Kafka's binary mode: attributes in ``ce_`` headers, data as JSON in the value.

Specification: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
"""

from collections.abc import Iterable, Mapping

import msgspec

from stream.wire.errors import DecodeError, SchemaError, WireError
from stream.wire.event_types import EVENT_TYPES
from stream.wire.events.base import EventData
from stream.wire.events.inference import ResponseRecord
from stream.wire.events.inference_v1 import RequestRecordV1, ResponseRecordV1
from stream.wire.times import format_time, parse_time

CONTENT_TYPE = b"application/json"

_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODERS = {name: msgspec.json.Decoder(struct) for name, struct in EVENT_TYPES.items()}
_SPECVERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", CONTENT_TYPE)
Headers = Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One CloudEvent; `source` and `id` identify the event.

    `time` is event time, in seconds since the epoch. `correlationid` is the id of the event's request, `causationid`
    the id of the event that caused this event. `traceparent` is the trace context in which the event was created. The
    plain header ``traceparent``, which each publishing process sets, is not part of the event. The record's key is
    `partitionkey` in UTF-8.
    """

    id: str
    source: str
    type: str
    time: float
    data: EventData
    subject: str = ""
    correlationid: str = ""
    causationid: str = ""
    traceparent: str = ""
    tracestate: str = ""
    partitionkey: str = ""
    severitynumber: str = ""
    severitytext: str = ""


#: Optional attributes, written if they are not empty; the header is the name with the prefix ``ce_``.
_OPTIONAL = tuple(field.name for field in msgspec.structs.fields(Event) if not field.required)
_OPTIONAL_HEADERS = tuple((name, f"ce_{name}") for name in _OPTIONAL)


class Record(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A Kafka record: key, value and headers in order; msgspec encodes it as an array."""

    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def encode(event: Event) -> Record:
    """Encode `event` as a Kafka record; a decoded record is encoded to the same bytes.

    Equal events may have different bytes, so compare events and ids, never bytes. The reason: msgspec omits a text or number that is the same object
    as the field's default, but writes an equal value that is another object. The data of an aborted end is converted to version 1, the version of its
    type.
    """
    headers = [
        _SPECVERSION,
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
        ("ce_time", format_time(event.time).encode()),
    ]
    for name, header in _OPTIONAL_HEADERS:
        if value := getattr(event, name):
            headers.append((header, value.encode()))
    headers.append(_CONTENT_TYPE)
    key = event.partitionkey.encode() if event.partitionkey else None
    data = event.data
    if EVENT_TYPES[event.type] is ResponseRecordV1 and isinstance(data, ResponseRecord):
        data = ResponseRecordV1.downgraded(data)
    return Record(key=key, value=encode_data(data), headers=tuple(headers))


def encode_data(data: EventData) -> bytes:
    """Return the value of a record with `data`; equal data may have different bytes (:func:`encode`)."""
    return _ENCODER.encode(data)


def event_type(headers: Headers) -> str | None:
    """Return the ``ce_type`` header without decoding the rest, or None if it is missing."""
    raw = _as_mapping(headers).get("ce_type")
    return raw.decode("utf-8", "replace") if raw is not None else None


def event_time(headers: Headers) -> float | None:
    """Return the event time without decoding the rest, or None if its header is missing or invalid."""
    try:
        return parse_time(_as_mapping(headers)["ce_time"].decode())
    except (KeyError, AttributeError, ValueError, OverflowError):
        return None


def decode(value: bytes | None, headers: Headers) -> Event:
    """Decode a Kafka record.

    Requests and end records of version 1 are converted to the current structs; `type` is still the type of the record.
    Raises DecodeError if there is no value, if a required attribute is missing or not UTF-8, or if type or version is
    unknown. Raises SchemaError if the data does not fit its type; the message has the field's path. No message has a value of
    the record, so logs and dead letters can contain it.
    """
    attributes = _attributes(headers)
    kind = attributes.get("type", "")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise DecodeError(f"ce_type is not one of Weir's {len(_DECODERS)} event types")
    if value is None:
        raise DecodeError(f"event of type {kind!r} has no value; a tombstone is not an event")
    try:
        data = decoder.decode(value)
    except msgspec.ValidationError as error:
        raise SchemaError(f"{kind}: {_without_values(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DecodeError(f"{kind}: value is not JSON text") from None
    if isinstance(data, RequestRecordV1 | ResponseRecordV1):
        data = data.upgraded()
    try:
        time = parse_time(attributes["time"])
        optional = {name: attributes[name] for name in _OPTIONAL if name in attributes}
        return Event(id=attributes["id"], source=attributes["source"], type=kind, time=time, data=data, **optional)
    except KeyError as error:
        raise DecodeError(f"header ce_{error.args[0]} is missing") from None
    except (ValueError, OverflowError):
        raise DecodeError("header ce_time is not an RFC 3339 time with a zone") from None


def readable(value: bytes | None, headers: Headers) -> Event | None:
    """Decode a Kafka record; return None if the record is not an event of the contract."""
    try:
        return decode(value, headers)
    except WireError:
        return None


def _as_mapping(headers: Headers) -> Mapping[str, bytes]:
    if headers is None:
        return {}
    return headers if isinstance(headers, Mapping) else dict(headers)


def _attributes(headers: Headers) -> dict[str, str]:
    raw = _as_mapping(headers)
    if raw.get("ce_specversion") != b"1.0":
        raise DecodeError("header ce_specversion is not 1.0; Weir reads CloudEvents 1.0 in binary mode")
    try:
        return {name[3:]: text.decode() for name, text in raw.items() if name.startswith("ce_")}
    except (UnicodeDecodeError, AttributeError):
        raise DecodeError("a ce_ header is not UTF-8") from None


def _without_values(error: msgspec.ValidationError) -> str:
    """Return the message of `error` if it has a form that never quotes a value, else a general message."""
    message = str(error)
    if message.startswith(("Expected `", "Object missing required field `")):
        return message
    return "data does not fit the schema"
