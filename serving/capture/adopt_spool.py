"""Complete the spool of a dead gateway: write an ``aborted`` end for each request without an end, then ``closed``."""

import os
from pathlib import Path

import msgspec

from serving.capture.clock import SourceClock
from serving.capture.delivery_cursor import Cursor, load_cursor
from serving.capture.open_gap import read_gap
from serving.capture.segment import (
    Frame,
    Kind,
    OpenRequest,
    gap_of,
    head_of,
    read_segment,
    record_of,
    segment_path,
    segments,
)
from serving.capture.spool_writer import Position, SpoolWriter
from serving.settings import CaptureSettings
from stream.files import sync_directory

#: An OpenRequest has field names of the request record, so this decoder skips the record's text.
_REQUEST = msgspec.json.Decoder(OpenRequest)
#: The ends are written without a size limit, because the gateway reserved space for them.
_UNLIMITED = CaptureSettings(limit_bytes=1 << 62)


def adopt(directory: Path, source: str, clock: SourceClock | None = None) -> int | None:
    """Complete the spool of `source` in the locked `directory`; return the number of aborted requests (None: already closed).

    Truncates an incomplete last frame, then writes the count of dropped records (the open gap) as a gap record, an ``aborted`` end for
    each request without an end, and ``closed``. If the process is killed, the next call continues. Raises OSError.
    """
    position, closed = _recover(directory)
    if closed:
        return None
    writer = SpoolWriter(directory, source, settings=_UNLIMITED, clock=clock, position=position)
    try:
        writer.finish()
    finally:
        writer.close()
    return len(position.open)


def _recover(directory: Path) -> tuple[Position, bool]:
    """Truncate an incomplete last frame; return the state at the end of the spool, and whether the spool is closed.

    If the spool ends before its cursor, a power loss or damage took frames that Kafka has. The shipper reads on at the cursor, so new frames
    begin a segment after the cursor's segment.
    """
    cursor = load_cursor(directory)
    frames: list[Frame] = []
    last = end = 0
    for index in reversed(segments(directory)):
        path = segment_path(directory, index)
        frames, end = read_segment(path)
        if frames:
            last = index
            if end != path.stat().st_size:
                os.truncate(path, end)
            break
        path.unlink()  # killed while it wrote the head of this segment
        sync_directory(directory)
    earlier = [index for index in segments(directory) if index < last]
    # After a damaged HEAD, the open requests are only in earlier segments.
    while frames and frames[0].kind != Kind.HEAD and earlier:
        frames = read_segment(segment_path(directory, earlier.pop()))[0] + frames
    position = _position(directory, frames, cursor)
    if (last, end) < (cursor.segment, cursor.offset):
        return msgspec.structs.replace(position, segment=cursor.segment + 1), False
    return position, bool(frames) and frames[-1].kind == Kind.CLOSED


def _position(directory: Path, frames: list[Frame], cursor: Cursor) -> Position:
    """Return the state after `frames`, the frames of the last segment, or of more; numbers that Kafka has are not used again."""
    number, shed, time = cursor.number, 0, 0
    requests: dict[str, OpenRequest] = {}
    for frame in frames:
        number, time = max(number, frame.number), frame.time
        if frame.kind == Kind.HEAD:
            head = head_of(frame)
            shed, requests = head.shed, {request.request_id: request for request in head.open}
        elif frame.kind == Kind.GAP:
            gap_record = gap_of(frame)
            shed += gap_record.count
            for request_id in gap_record.request_ids:
                requests.pop(request_id, None)  # its end was shed
        elif frame.kind == Kind.REQUEST:
            request = _opened(frame)
            requests[request.request_id] = request
        elif frame.kind == Kind.END:
            requests.pop(_header(frame, "ce_correlationid"), None)
    gap = read_gap(directory, number)
    for request_id in gap.request_ids:
        requests.pop(request_id, None)
    return Position(number=number, shed=max(shed, cursor.shed), time=time, open=tuple(requests.values()), gap=gap)


def _opened(frame: Frame) -> OpenRequest:
    request = _REQUEST.decode(record_of(frame).value)
    trace = {name: _header(frame, f"ce_{name}") for name in ("traceparent", "tracestate")}
    return msgspec.structs.replace(request, **trace)


def _header(frame: Frame, name: str) -> str:
    return dict(record_of(frame).headers).get(name, b"").decode()
