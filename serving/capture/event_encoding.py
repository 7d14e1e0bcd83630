"""Encode capture's events as Kafka records, with ids, keys and attributes; encode requests and their ends as frames of the spool."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

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
#: The fields that an :class:`OpenRequest` and its ``aborted`` end share.
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


class SharedHeaders(msgspec.Struct, frozen=True):
    """The key and the header values that the records of a request and of its end share, so that they are encoded once.

    `name` is the request id, `last` are the headers from the trace context on. The records have the bytes of
    :func:`stream.wire.encode`, which encodes every other event.
    """

    name: bytes
    key: bytes
    source: tuple[str, bytes]
    last: tuple[tuple[str, bytes], ...]


class Stamp(NamedTuple):
    """The fields that the writer adds to a record without a number: source, time in microseconds, trace context."""

    source: str
    time: int
    traceparent: str = ""


def shared_headers(request: OpenRequest, source: str) -> SharedHeaders:
    """Return the key and the headers that the records of `request` and of its end share."""
    key = inference_key(request.tenant, request.conversation_id or request.request_id).encode()
    last: tuple[tuple[str, bytes], ...] = (("ce_partitionkey", key), _CONTENT_TYPE)
    if request.tracestate:
        last = (("ce_tracestate", request.tracestate.encode()), *last)
    if request.traceparent:
        last = (("ce_traceparent", request.traceparent.encode()), *last)
    return SharedHeaders(request.request_id.encode(), key, ("ce_source", source.encode()), last)


def request(record: RequestRecord, number: int, time: int, shared: SharedHeaders) -> bytes:
    """Return the frame of an accepted request; if it is too large for Kafka, without a part of its text; `time` is in microseconds."""
    name = shared.name
    headers = (
        _SPECVERSION,
        ("ce_id", name + b"/request"),
        shared.source,
        _REQUEST_TYPE,
        ("ce_time", format_microseconds(time).encode()),
        ("ce_subject", name),
        ("ce_correlationid", name),
        *shared.last,
    )
    data = msgspec.structs.replace(record, number=number)
    whole = Record(key=shared.key, value=encode_data(data), headers=headers)
    return _fitting(_REQUEST, time, data, whole, encoded=encode_data)


def end(
    record: ResponseRecord, number: int, time: int, shared: SharedHeaders, max_bytes: int = MAX_RECORD_BYTES
) -> bytes:
    """Return the frame of the end of a request; if it would have more than `max_bytes`, without a part of its text.

    An ``aborted`` end has its own event type, whose data is version 1.
    """
    name, aborted = shared.name, record.status == ABORTED
    headers = (
        _SPECVERSION,
        ("ce_id", name + b"/end"),
        shared.source,
        _ABORTED_TYPE if aborted else _END_TYPE,
        ("ce_time", format_microseconds(time).encode()),
        ("ce_subject", name),
        ("ce_correlationid", name),
        ("ce_causationid", name + b"/request"),
        *shared.last,
    )
    data = msgspec.structs.replace(record, number=number)
    encoded = _aborted_data if aborted else encode_data
    whole = Record(key=shared.key, value=encoded(data), headers=headers)
    return _fitting(_END, time, data, whole, encoded=encoded, max_bytes=max_bytes)


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


def opened(record: RequestRecord, *, traceparent: str, tracestate: str) -> OpenRequest:
    """Return the data, without text, that the spool stores about a request until the request ends.

    A `tracestate` that is too large is dropped, because the HEAD of each later segment repeats it.
    """
    return OpenRequest(
        request_id=record.request_id,
        tenant=record.tenant,
        model=record.model,
        model_version=record.model_version,
        principal=record.principal,
        conversation_id=record.conversation_id,
        operation=record.operation,
        stream=record.stream,
        traceparent=traceparent,
        tracestate=bounded_tracestate(tracestate) if tracestate else "",
        shadow_of=record.shadow_of,
    )


def aborted_end(request: OpenRequest) -> ResponseRecord:
    """Return the end of a request whose gateway died; it has no text, so no verdict is expected for it."""
    return ResponseRecord(**{name: getattr(request, name) for name in _NAMES}, status=ABORTED)


def _aborted_data(data: ResponseRecord) -> bytes:
    return encode_data(ResponseRecordV1.downgraded(data))


def _fitting(  # noqa: PLR0913 - the parts of a frame
    kind: Kind,
    time: int,
    data: RecordT,
    whole: Record,
    *,
    encoded: Callable[[RecordT], bytes],
    max_bytes: int = MAX_RECORD_BYTES,
) -> bytes:
    """Return the frame of `whole`, the record of `data`; if it is too large, that of the record of the shortened data."""
    frame = encode_frame(kind, data.number, time, whole)
    excess = len(frame) - max_bytes
    if excess <= 0:
        return frame
    value = encoded(shortened(data, len(whole.value) - excess))
    return encode_frame(kind, data.number, time, msgspec.structs.replace(whole, value=value))


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
