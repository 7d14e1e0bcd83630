"""Number and append the records of a source, and apply the policy for a full spool.

The balance ``accepted = delivered + spooled + shed`` must be true at any time and after any crash. So each request and each end gets a number here,
in the order of the spool, even if it is shed (dropped). A shed number is written to the open gap at once, and to a gap record before the next
numbered frame. So the numbers in a spool are consecutive, and a missing number means damage.
"""

import contextlib
import threading
from pathlib import Path

import msgspec

from serving.capture import event_encoding as encoding
from serving.capture.clock import SourceClock
from serving.capture.delivery_cursor import reserve_cursor
from serving.capture.event_encoding import Judgment, Opened, Stamp
from serving.capture.open_gap import GAP_RECORD_BYTES, GapFile, OpenGap
from serving.capture.segment import MAX_OPEN_BYTES, Head, Kind, OpenRequest, encode_frame
from serving.capture.segment_writer import SegmentWriter
from serving.capture.spool_layout import MAX_RECORD_BYTES, move_aside
from serving.errors import SpoolFull
from serving.settings import CaptureSettings
from stream.count_text import count_text
from stream.wire import CorrectionRecord, GapRecord, RequestRecord, ResponseRecord

#: Minimum number of segments of a full spool, so that the shipper can free a part of the spool.
_MIN_SEGMENTS = 4


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The state at the end of a dead gateway's spool, from which a new writer continues.

    `segment` is the lowest index of a segment for new frames.
    """

    number: int = 0
    shed: int = 0
    time: int = 0
    open: tuple[OpenRequest, ...] = ()
    gap: OpenGap | None = None
    segment: int = 0


class SpoolWriter:
    """Writes the spool of `source` in the locked `directory`; `position` is the end of an existing spool."""

    def __init__(
        self,
        directory: Path,
        source: str,
        settings: CaptureSettings,
        *,
        clock: SourceClock | None = None,
        position: Position | None = None,
    ) -> None:
        start = position or Position()
        self.source = source
        self._root = directory.parent
        self._settings = settings
        # Copies: an attribute of a pydantic model costs several times as much.
        self._limit_bytes, self._reserve_bytes = settings.limit_bytes, settings.end_reserve_bytes
        self._clock = clock or SourceClock(start.time)
        self._lock = threading.Lock()
        self._number = start.number
        self._shed = start.shed
        self._time = start.time
        self._open = {
            request.request_id: encoding.opened(request, source, request.traceparent, request.tracestate)
            for request in start.open
        }
        self._reserved = 0
        self._end_bytes = settings.end_reserve_bytes + GAP_RECORD_BYTES
        segment_bytes = min(settings.segment_bytes, max(settings.limit_bytes // _MIN_SEGMENTS, 1))
        self._gap = GapFile(directory)
        try:
            reserve_cursor(directory)
            self._segments = SegmentWriter(directory, segment_bytes=segment_bytes, head=self._head, first=start.segment)
        except OSError:
            self._gap.close()
            raise
        if start.gap is not None:
            self._gap.gap = start.gap
        self._full = False
        self._failure: OSError | None = None

    @property
    def writable(self) -> bool:
        """Whether the next request can be recorded: False if the disk fails, or the spool is full and the policy is ``reject``."""
        return self._failure is None and not (self._full and self._settings.on_full == "reject")

    @property
    def open_requests(self) -> int:
        """Number of requests without an end."""
        return len(self._open)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return self._segments.size_bytes

    @property
    def used_bytes(self) -> int:
        """Bytes of all segments, and the space that is reserved for the ends of open requests."""
        return self.size_bytes + self._reserved

    @property
    def last_number(self) -> int:
        """The last record number, including shed (dropped) records."""
        gap = self._gap.gap
        return gap.last if gap.last >= gap.first else self._number

    def request(self, record: RequestRecord, *, traceparent: str, tracestate: str = "") -> int:
        """Append a request, reserve space for its end, and return its number; raises SpoolFull with policy ``reject``."""
        opened = encoding.opened(record, self.source, traceparent, tracestate)
        with self._lock:
            number, time = self.last_number + 1, self._clock.now()
            frame = encoding.request(opened, record, number, time)
            opened.recorded = self._record(frame, number, time, record.request_id, opened=opened)
            opened.reserved = self._end_bytes if opened.recorded else 0
            self._open[record.request_id] = opened
            self._reserved += opened.reserved
        return number

    def end(self, record: ResponseRecord) -> bool:
        """Append the end of a request; return False if the request already has an end."""
        with self._lock:
            opened = self._open.get(record.request_id)
            if opened is None:
                return False
            number, time = self.last_number + 1, self._clock.now()
            frame = encoding.end(opened, record, number, time)
            size, reserve = len(frame), self._reserve_bytes
            if opened.reserved and size > reserve and not self._has_room(size - opened.reserved):
                frame = encoding.end(opened, record, number, time, reserve)
            self._reserved -= opened.reserved  # not before: if the answer cannot be encoded, another end follows
            self._record(frame, number, time, record.request_id, reserved=opened.reserved > 0)
            del self._open[
                record.request_id
            ]  # only now: if this end begins a segment, its HEAD must contain the request
        return True

    def judge(self, *records: Judgment, identity: str, conversation_id: str = "", traceparent: str = "") -> None:
        """Append feedback, corrections or labels, which have no number and are never shed (dropped without an error).

        Raises SpoolFull if there is no space for all of them; the caller then sends all again.
        """
        with self._lock:
            time = self._clock.now()
            stamp = Stamp(self.source, time, traceparent)
            frames = []
            for record in records:
                content = encoding.judgment(record, stamp, identity=identity, conversation_id=conversation_id)
                kind = Kind.CORRECTION if isinstance(record, CorrectionRecord) else Kind.FEEDBACK
                frames.append(encode_frame(kind, self._number, time, content))
            if not self._has_room(sum(map(len, frames))):
                raise self._full_error()
            try:
                self._append(b"".join(frames), self._number, time)  # all or none
            except OSError as error:
                self._failure = error
                raise self._full_error() from error

    def tick(self) -> None:
        """If there is space, append a gap record with the open gap (dropped records), and a tick (heartbeat record)."""
        with self._lock, contextlib.suppress(OSError):
            time = self._clock.now()
            if self._gap.gap.count:
                self._flush_gap(time, within_limit=True)
            used = self.used_bytes / self._limit_bytes
            frame = encode_frame(Kind.TICK, self._number, time, encoding.tick(self.source, time, min(used, 1.0)))
            if self._segments.size_bytes + len(frame) <= self._limit_bytes:
                self._append(frame, self._number, time)

    def sync(self) -> None:
        """Sync all frames and the open gap to disk; another thread can append at the same time."""
        for sync in (self._segments.sync, self._gap.sync):
            try:
                sync()
            except OSError as error:
                self._failure = error

    def recount(self) -> None:
        """Subtract unlinked segments from the size; if the spool is one full segment, begin a second, so that the first can be unlinked."""
        with self._lock, contextlib.suppress(OSError):
            self._segments.recount()
            if self._full and self._segments.only_segment and self._segments.has_frames:
                self._segments.rotate()
            if self._full:
                self._full = not self._has_room(self._end_bytes)

    @property
    def full(self) -> bool:
        """Whether the spool had no space for the last request."""
        return self._full

    def finish(self) -> None:
        """Write an ``aborted`` end for each request without an end, then ``closed``; after an OSError, the caller can call this again."""
        with self._lock:
            for request_id, opened in list(self._open.items()):
                if not opened.recorded:  # its gap record is also its end
                    continue
                time = self._clock.now()
                if self._gap.gap.count:
                    self._flush_gap(time)
                number = self._number + 1
                end = encoding.end(opened, encoding.aborted_end(opened.request), number, time)
                self._append(end, number, time)
                del self._open[request_id]
            time = self._clock.now()
            if self._gap.gap.count:
                self._flush_gap(time)
            frame = encode_frame(Kind.CLOSED, self._number, time, encoding.closed(self.source, time))
            self._append(frame, self._number, time)

    def close(self) -> None:
        """Sync all frames and the open gap to disk and close the files."""
        with self._lock:
            try:
                self._segments.close()
            finally:
                self._gap.close()

    def _head(self) -> bytes:
        head = Head(
            source=self.source,
            shed=self._shed,
            open=tuple(encoding.entry(opened) for opened in self._open.values() if opened.recorded),
        )
        return encode_frame(Kind.HEAD, self._number, self._time, head)

    def _record(  # noqa: PLR0913 - a frame's fields, and which space it may use
        self,
        frame: bytes,
        number: int,
        time: int,
        request_id: str,
        *,
        opened: Opened | None = None,
        reserved: bool = False,
    ) -> bool:
        """Append the frame of a numbered record, or drop it and count it as shed; return whether it was appended.

        The frame of a request, which is `opened`, contains all values of its entry in a HEAD, so a frame within its limit needs no further check.
        """
        size, reserve = len(frame), opened is not None
        if size > MAX_RECORD_BYTES or (
            opened and size > MAX_OPEN_BYTES and encoding.entry(opened).size_bytes > MAX_OPEN_BYTES
        ):
            move_aside(self._root, self.source, number, frame)
            self._shed_number(number, request_id, "oversize", time)
            return False
        fits = self._has_room(size + (self._end_bytes if reserve else 0))
        self._full = not fits if reserve else self._full
        if fits or (reserved and size <= self._reserve_bytes):
            try:
                if number != self._number + 1:  # the numbers between are in the open gap
                    self._flush_gap(time)
                self._append(frame, number, time)
            except OSError as error:
                self._failure = error
            else:
                return True
        if reserve and self._settings.on_full == "reject":
            raise self._full_error() from self._failure
        self._shed_number(number, request_id, "full" if self._failure is None else "disk", time)
        return False

    def _has_room(self, size: int) -> bool:
        return self._segments.size_bytes + self._reserved + size <= self._limit_bytes

    def _append(self, frame: bytes, number: int, time: int) -> None:
        self._segments.append(frame)
        self._number, self._time = number, time
        self._failure = None

    def _shed_number(self, number: int, request_id: str, reason: str, time: int) -> None:
        if self._gap.gap.count and (self._gap.full or reason != self._gap.gap.reason):
            with contextlib.suppress(OSError):
                self._flush_gap(time, within_limit=True)
        with contextlib.suppress(OSError):
            self._gap.add(number, request_id, reason)

    def _flush_gap(self, time: int, *, within_limit: bool = False) -> None:
        gap = self._gap.gap
        record = GapRecord(
            source=self.source,
            first_number=gap.first,
            last_number=gap.last,
            count=gap.count,
            reason=gap.reason,
            request_ids=tuple(gap.request_ids),
        )
        frame = encode_frame(Kind.GAP, gap.last, time, encoding.gap(record, time=time))
        if within_limit and self._segments.size_bytes + len(frame) > self._limit_bytes:
            return
        self._append(frame, gap.last, time)
        self._shed += gap.count
        self._gap.clear()

    def _full_error(self) -> SpoolFull:
        if self._failure is not None:
            return SpoolFull(
                f"the spool of {self.source} cannot be written: {self._failure.strerror}; free or repair its disk"
            )
        return SpoolFull(
            f"the spool of {self.source} has {self._segments.size_bytes} bytes and {self._reserved} reserved for the ends of "
            f"{count_text(len(self._open), 'request')}, the limit is {self._limit_bytes}; start the shipper and Kafka, or raise "
            "capture.limit_bytes"
        )
