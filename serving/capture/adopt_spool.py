"""Complete the spool of a dead gateway: write an ``aborted`` end for each request without an end, then ``closed``."""

import os
from pathlib import Path

import msgspec

from serving.capture.clock import SourceClock
from serving.capture.open_gap import read_gap
from serving.capture.segment import Frame, Kind, OpenRequest, head_of, read_segment, record_of, segment_path, segments
from serving.capture.spool_tail import gap_count
from serving.capture.spool_writer import Position, SpoolWriter
from serving.settings import CaptureSettings
from stream.files import sync_directory
from stream.wire import GapRecord

__all__ = ["adopt"]

#: An OpenRequest has field names of the request record, so this decoder skips the record's text.
_REQUEST = msgspec.json.Decoder(OpenRequest)
_GAP = msgspec.json.Decoder(GapRecord)
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
    """Truncate an incomplete last frame; return the state at the end of the spool, and whether the spool is closed."""
    for index in reversed(segments(directory)):
        path = segment_path(directory, index)
        frames, end = read_segment(path)
        if not frames:  # killed while it wrote the head of this segment
            path.unlink()
            sync_directory(directory)
            continue
        if end != path.stat().st_size:
            os.truncate(path, end)
        return _position(directory, frames), frames[-1].kind == Kind.CLOSED
    return Position(gap=read_gap(directory, 0)), False


def _position(directory: Path, frames: list[Frame]) -> Position:
    shed = 0
    requests: dict[str, OpenRequest] = {}
    for frame in frames:
        if frame.kind == Kind.HEAD:
            head = head_of(frame)
            shed, requests = head.shed, {request.request_id: request for request in head.open}
        elif frame.kind == Kind.GAP:
            shed += gap_count(frame)
            for request_id in _GAP.decode(record_of(frame).value).request_ids:
                requests.pop(request_id, None)  # its end was shed
        elif frame.kind == Kind.REQUEST:
            request = _opened(frame)
            requests[request.request_id] = request
        elif frame.kind == Kind.END:
            requests.pop(_header(frame, "ce_correlationid"), None)
    last = frames[-1]
    gap = read_gap(directory, last.number)
    for request_id in gap.request_ids:
        requests.pop(request_id, None)
    return Position(number=last.number, shed=shed, time=last.time, open=tuple(requests.values()), gap=gap)


def _opened(frame: Frame) -> OpenRequest:
    request = _REQUEST.decode(record_of(frame).value)
    trace = {name: _header(frame, f"ce_{name}") for name in ("traceparent", "tracestate")}
    return msgspec.structs.replace(request, **trace)


def _header(frame: Frame, name: str) -> str:
    return dict(record_of(frame).headers).get(name, b"").decode()
