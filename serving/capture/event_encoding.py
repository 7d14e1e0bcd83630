"""Encode capture's events as Kafka records, with ids, keys and attributes."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from serving.capture.segment import OpenRequest
from serving.capture.shortened_record import RecordT, shortened
from serving.capture.spool_layout import MAX_RECORD_BYTES
from stream.telemetry import bounded_tracestate
from stream.wire import (
    ABORTED,
    ABORTED_TYPE,
    Closed,
    Event,
    EventData,
    Feedback,
    GapRecord,
    Record,
    RequestRecord,
    ResponseRecord,
    Tick,
    encode,
    inference_key,
)

__all__ = [
    "FRAME_BYTES",
    "Stamp",
    "aborted_end",
    "bounded",
    "closed",
    "end",
    "feedback",
    "gap",
    "opened",
    "request",
    "tick",
]

_MICROSECONDS = 1_000_000
#: More than a frame adds to the bytes of its record.
FRAME_BYTES = 512
#: The fields that a request, its end and an :class:`OpenRequest` share.
_NAMES = (
    "request_id",
    "tenant",
    "model",
    "model_version",
    "principal",
    "conversation_id",
    "operation",
    "stream",
)


class Stamp(NamedTuple):
    """The fields that the writer adds to a record: source, number, time in microseconds, trace context."""

    source: str
    number: int
    time: int
    traceparent: str = ""
    tracestate: str = ""


def request(record: RequestRecord, stamp: Stamp) -> Record:
    """Encode an accepted request; if it is too large for Kafka, without a part of its text."""
    data = msgspec.structs.replace(record, number=stamp.number)
    key = inference_key(record.tenant, record.conversation_id or record.request_id)
    name = record.request_id
    encoded = partial(
        _encode, kind=RequestRecord.event_type, identity=f"{name}/request", stamp=stamp, request_id=name, key=key
    )
    return _fitting(data, encoded)


def end(record: ResponseRecord, stamp: Stamp, max_bytes: int = MAX_RECORD_BYTES) -> Record:
    """Encode the end of a request; if its frame would have more than `max_bytes`, without a part of its text.

    An ``aborted`` end has its own event type, whose data is version 1.
    """
    data = msgspec.structs.replace(record, number=stamp.number)
    key = inference_key(record.tenant, record.conversation_id or record.request_id)
    aborted = record.status == ABORTED
    kind = ABORTED_TYPE if aborted else ResponseRecord.event_type
    name = record.request_id
    encoded = partial(
        _encode,
        kind=kind,
        identity=f"{name}/end",
        stamp=stamp,
        request_id=name,
        key=key,
        causation=f"{name}/request",
    )
    return _fitting(data, encoded, max_bytes)


def feedback(record: Feedback, stamp: Stamp, *, identity: str, conversation_id: str) -> Record:
    """Encode feedback, with the same key as its request."""
    key = inference_key(record.tenant, conversation_id or record.request_id)
    name = record.request_id
    return _encode(record, Feedback.event_type, f"{name}/feedback/{identity}", stamp, request_id=name, key=key)


def gap(record: GapRecord, *, time: int) -> Record:
    """Encode a gap record; its key is the source."""
    stamp = Stamp(record.source, record.last_number, time)
    return _encode(record, GapRecord.event_type, f"{record.source}/gap/{record.first_number}", stamp, key=record.source)


def tick(source: str, time: int, spool: float = 0.0) -> Record:
    """Encode a tick (heartbeat record): later events of `source` are not before `time`; `spool` is the used share of the spool."""
    data = Tick(sources={source: time / _MICROSECONDS}, spool=round(spool, 2))
    return _encode(data, Tick.event_type, f"{source}/tick/{time}", Stamp(source, 0, time))


def closed(source: str, time: int) -> Record:
    """Encode the record that closes `source`."""
    data = Closed(source=source, time=time / _MICROSECONDS)
    return _encode(data, Closed.event_type, f"{source}/closed", Stamp(source, 0, time))


def opened(record: RequestRecord, *, traceparent: str, tracestate: str) -> OpenRequest:
    """Return the data, without text, that the spool stores about a request until the request ends."""
    return OpenRequest(**_names(record), traceparent=traceparent, tracestate=tracestate)


def bounded(request: OpenRequest) -> OpenRequest:
    """Return `request` with a valid tracestate of limited size, because each later segment's HEAD repeats the tracestate."""
    return msgspec.structs.replace(request, tracestate=bounded_tracestate(request.tracestate))


def aborted_end(request: OpenRequest) -> ResponseRecord:
    """Return the end of a request whose gateway died; it has no text, so no verdict is expected for it."""
    return ResponseRecord(**_names(request), status="aborted")


def _fitting(data: RecordT, encoded: Callable[[RecordT], Record], max_bytes: int = MAX_RECORD_BYTES) -> Record:
    """Return the record of `data`, or of its shortened copy if that of `data` is too large."""
    whole = encoded(data)
    excess = whole.size_bytes + FRAME_BYTES - max_bytes
    return whole if excess <= 0 else encoded(shortened(data, len(whole.value) - excess))


def _names(record: RequestRecord | OpenRequest) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _NAMES}


def _encode(  # noqa: PLR0913 - the attributes of an event
    data: EventData,
    kind: str,
    identity: str,
    stamp: Stamp,
    *,
    request_id: str = "",
    key: str = "",
    causation: str = "",
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
            causationid=causation,
            traceparent=stamp.traceparent,
            tracestate=stamp.tracestate,
            partitionkey=key,
        )
    )
