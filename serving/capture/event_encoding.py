"""Encode capture's events as Kafka records, with ids, keys and attributes; encode requests and their ends as frames of the spool."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec.structs import force_setattr

from serving.capture.segment import Kind, OpenRequest, encode_frame
from serving.capture.shortened_record import RecordT, shortened
from serving.capture.spool_layout import MAX_RECORD_BYTES
from stream.telemetry import bounded_tracestate
from stream.wire import (
    ABORTED,
    ABORTED_TYPE,
    Closed,
    CorrectionRecord,
    Event,
    EventData,
    Feedback,
    GapRecord,
    LabelRecord,
    Record,
    RequestRecord,
    ResponseRecord,
    ResponseRecordV1,
    Tick,
    encode,
    inference_key,
)
from stream.wire.codec import CONTENT_TYPE, encode_data
from stream.wire.ids import label_event_id
from stream.wire.times import format_microseconds

_MICROSECONDS = 1_000_000
#: In Python 3.11, each access to a member of an Enum calls a Python function.
_REQUEST, _END = Kind.REQUEST, Kind.END
#: Judgments of people and systems about an answer.
Judgment = Feedback | CorrectionRecord | LabelRecord
#: The fields that a request and its ``aborted`` end share.
_NAMES = (
    "request_id",
    "tenant",
    "model",
    "model_version",
    "principal",
    "conversation_id",
    "operation",
    "stream",
    "shadow_of",
)


#: Headers of requests and ends; the values of the types are constant.
_SPECVERSION = ("ce_specversion", b"1.0")
_REQUEST_TYPE = ("ce_type", RequestRecord.event_type.encode())
_END_TYPE = ("ce_type", ResponseRecord.event_type.encode())
_ABORTED_TYPE = ("ce_type", ABORTED_TYPE.encode())
_CONTENT_TYPE = ("content-type", CONTENT_TYPE)


class Opened(msgspec.Struct):
    """A request without an end, and the key and headers that its records share, so that they are encoded once.

    `name` is the request id, `last` are the headers from the trace context on. The records have the bytes of
    :func:`stream.wire.encode`, which encodes every other event. The writer sets `reserved`, the space of the end in bytes,
    and `recorded`, whether the record of the request is in the spool (False: it was dropped).
    """

    request: RequestRecord | OpenRequest
    traceparent: str
    tracestate: str
    name: bytes
    key: bytes
    source: tuple[str, bytes]
    last: tuple[tuple[str, bytes], ...]
    reserved: int = 0
    recorded: bool = True


class Stamp(NamedTuple):
    """The fields that the writer adds to a record without a number: source, time in microseconds, trace context."""

    source: str
    time: int
    traceparent: str = ""


def opened(request: RequestRecord | OpenRequest, source: str, traceparent: str, tracestate: str = "") -> Opened:
    """Return `request` with the key and the headers of its records.

    A `tracestate` that is too large is dropped, because the HEAD of each later segment repeats it.
    """
    name = request.request_id
    key = inference_key(request.tenant, request.conversation_id or name).encode()
    last: tuple[tuple[str, bytes], ...] = (("ce_partitionkey", key), _CONTENT_TYPE)
    if tracestate and (tracestate := bounded_tracestate(tracestate)):
        last = (("ce_tracestate", tracestate.encode()), *last)
    if traceparent:
        last = (("ce_traceparent", traceparent.encode()), *last)
    return Opened(request, traceparent, tracestate, name.encode(), key, ("ce_source", source.encode()), last)


def request(opened: Opened, record: RequestRecord, number: int, time: int) -> bytes:
    """Set the number of an accepted request and return its frame; if the frame is too large for Kafka, without a part of its text.

    `time` is in microseconds.
    """
    name = opened.name
    headers = (
        _SPECVERSION,
        ("ce_id", name + b"/request"),
        opened.source,
        _REQUEST_TYPE,
        ("ce_time", format_microseconds(time).encode()),
        ("ce_subject", name),
        ("ce_correlationid", name),
        *opened.last,
    )
    force_setattr(record, "number", number)  # a copy with the number costs as much as its JSON
    return _frame(_REQUEST, time, record, opened.key, headers, encoded=encode_data)


def end(opened: Opened, record: ResponseRecord, number: int, time: int, max_bytes: int = MAX_RECORD_BYTES) -> bytes:
    """Set the number of the end of a request and return its frame; if it would have more than `max_bytes`, without a part of its text.

    An ``aborted`` end has its own event type, whose data is version 1.
    """
    name, aborted = opened.name, record.status == ABORTED
    headers = (
        _SPECVERSION,
        ("ce_id", name + b"/end"),
        opened.source,
        _ABORTED_TYPE if aborted else _END_TYPE,
        ("ce_time", format_microseconds(time).encode()),
        ("ce_subject", name),
        ("ce_correlationid", name),
        ("ce_causationid", name + b"/request"),
        *opened.last,
    )
    force_setattr(record, "number", number)
    encoded = _aborted_data if aborted else encode_data
    return _frame(_END, time, record, opened.key, headers, encoded=encoded, max_bytes=max_bytes)


def judgment(record: Judgment, stamp: Stamp, *, identity: str, conversation_id: str) -> Record:
    """Encode feedback, a correction or a label, with the same key as its request."""
    key = inference_key(record.tenant, conversation_id or record.request_id)
    name = record.request_id
    if isinstance(record, LabelRecord):
        event_id = label_event_id(name, record.label_id, record.at)
    else:
        event_id = f"{name}/{'feedback' if isinstance(record, Feedback) else 'correction'}/{identity}"
    return _encode(record, record.event_type, event_id, stamp, request_id=name, key=key)


def gap(record: GapRecord, *, time: int) -> Record:
    """Encode a gap record; its key is the source."""
    stamp = Stamp(record.source, time)
    return _encode(record, GapRecord.event_type, f"{record.source}/gap/{record.first_number}", stamp, key=record.source)


def tick(source: str, time: int, spool: float = 0.0) -> Record:
    """Encode a tick (heartbeat record): later events of `source` are not before `time`; `spool` is the used share of the spool."""
    data = Tick(sources={source: time / _MICROSECONDS}, spool=round(spool, 2))
    return _encode(data, Tick.event_type, f"{source}/tick/{time}", Stamp(source, time))


def closed(source: str, time: int) -> Record:
    """Encode the record that closes `source`."""
    data = Closed(source=source, time=time / _MICROSECONDS)
    return _encode(data, Closed.event_type, f"{source}/closed", Stamp(source, time))


def entry(opened: Opened) -> OpenRequest:
    """Return the data, without text, that a HEAD contains about a request until the request ends."""
    shared = {name: getattr(opened.request, name) for name in _NAMES}
    return OpenRequest(**shared, traceparent=opened.traceparent, tracestate=opened.tracestate)


def aborted_end(request: RequestRecord | OpenRequest) -> ResponseRecord:
    """Return the end of a request whose gateway died; it has no text, so no verdict is expected for it."""
    return ResponseRecord(**{name: getattr(request, name) for name in _NAMES}, status=ABORTED)


def _aborted_data(data: ResponseRecord) -> bytes:
    return encode_data(ResponseRecordV1.downgraded(data))


def _frame(  # noqa: PLR0913 - the parts of a frame
    kind: Kind,
    time: int,
    data: RecordT,
    key: bytes,
    headers: tuple[tuple[str, bytes], ...],
    *,
    encoded: Callable[[RecordT], bytes],
    max_bytes: int = MAX_RECORD_BYTES,
) -> bytes:
    """Return the frame of the record of `data`; if it is too large, that of the record of the shortened data."""
    value = encoded(data)
    frame = encode_frame(kind, data.number, time, Record(key=key, value=value, headers=headers))
    if len(frame) <= max_bytes:
        return frame
    value = encoded(shortened(data, len(value) - len(frame) + max_bytes))
    return encode_frame(kind, data.number, time, Record(key=key, value=value, headers=headers))


def _encode(  # noqa: PLR0913 - the attributes of an event
    data: EventData,
    kind: str,
    identity: str,
    stamp: Stamp,
    *,
    request_id: str = "",
    key: str = "",
) -> Record:
    return encode(
        Event(
            id=identity,
            source=stamp.source,
            type=kind,
            time=stamp.time / _MICROSECONDS,
            data=data,
            subject=request_id,
            correlationid=request_id,
            traceparent=stamp.traceparent,
            partitionkey=key,
        )
    )
