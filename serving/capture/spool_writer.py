"""Numbers, stamps and appends what a source has to say, and keeps the policy of a full spool.

Why this exists: the balance ``accepted = delivered + spooled + shed`` must hold at any instant and after any crash, so one place
numbers every request and end, shed ones too, in the order of the log. A shed number goes into the open gap at once, and into a
gap record before the next frame that has a number: numbers in a spool are consecutive, and a hole is damage.
"""

import contextlib
import threading
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from serving.capture import event_encoding as encoding
from serving.capture.clock import SourceClock
from serving.capture.delivery_cursor import reserve_cursor
from serving.capture.event_encoding import Stamp
from serving.capture.open_gap import GAP_RECORD_BYTES, GapFile, OpenGap
from serving.capture.segment import MAX_OPEN_BYTES, Head, Kind, OpenRequest, encode_frame
from serving.capture.segment_writer import Journal
from serving.capture.unsendable import MAX_RECORD_BYTES, move_aside
from serving.errors import SpoolFull
from stream.wire import Feedback, GapRecord, Record, RequestRecord, ResponseRecord

__all__ = ["Bounds", "Position", "SpoolWriter"]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How large a spool may grow.

    Parameters
    ----------
    limit_bytes
        Size of all segments, at most.
    segment_bytes
        Size at which a segment is closed.
    end_reserve_bytes
        Room kept for the end of every request that is under way.
    on_full
        ``shed`` counts a gap, ``reject`` raises SpoolFull.
    """

    limit_bytes: int = 2 * 1024**3
    segment_bytes: int = 16 * 1024**2
    end_reserve_bytes: int = 512 * 1024
    on_full: Literal["shed", "reject"] = "shed"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where an orphaned spool ended, for the adopter who goes on with it."""

    number: int = 0
    shed: int = 0
    time: int = 0
    open: tuple[OpenRequest, ...] = ()
    gap: OpenGap | None = None


class _Open(NamedTuple):
    """A request without an end: the room kept for it, and whether its own record is in the spool (or was shed)."""

    request: OpenRequest
    reserved: int
    recorded: bool


class SpoolWriter:
    """Writes one source. Thread safe: numbers, times and frames are made under one lock.

    Parameters
    ----------
    directory
        The source's, its lock held.
    source
        Its name.
    bounds
        How large it may grow.
    clock
        Of its event times.
    position
        Where to go on; None for a new spool.

    Raises
    ------
    OSError
        The directory cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        source: str,
        *,
        bounds: Bounds,
        clock: SourceClock | None = None,
        position: Position | None = None,
    ) -> None:
        start = position or Position()
        self.source = source
        self._root = directory.parent
        self._bounds = bounds
        self._clock = clock or SourceClock(start.time)
        self._lock = threading.Lock()
        self._number = start.number
        self._shed = start.shed
        self._time = start.time
        self._open = {one.request_id: _Open(encoding.bounded(one), 0, recorded=True) for one in start.open}
        self._reserved = 0
        self._reason = "full"
        self._gap = GapFile(directory)
        reserve_cursor(directory)
        if start.gap is not None:
            self._gap.gap = start.gap
        segment_bytes = min(bounds.segment_bytes, max(bounds.limit_bytes // 4, 1))
        self._journal = Journal(directory, segment_bytes=segment_bytes, head=self._head)
        self._full = False
        self._failure: OSError | None = None

    @property
    def writable(self) -> bool:
        """Whether the next request can be served: False when the disk fails, and when the spool is full and the policy rejects."""
        return self._failure is None and not (self._full and self._bounds.on_full == "reject")

    @property
    def open_requests(self) -> int:
        """Requests without an end."""
        return len(self._open)

    @property
    def size_bytes(self) -> int:
        """Bytes of the segments."""
        return self._journal.size_bytes

    @property
    def last_number(self) -> int:
        """The last number given, to a shed record too."""
        return self._gap.gap.last if self._gap.gap.count else self._number

    def request(self, record: RequestRecord, *, traceparent: str, tracestate: str = "") -> int:
        """Accept a request: number it, append it, keep room for its end; return its number.

        A `tracestate` of more than 512 bytes is dropped.

        Raises
        ------
        SpoolFull
            No room, or the disk fails, and the policy is ``reject``: it was not accepted.
        """
        request = encoding.bounded(encoding.opened(record, traceparent=traceparent, tracestate=tracestate))
        oversize = request.size_bytes > MAX_OPEN_BYTES
        with self._lock:
            number, time = self.last_number + 1, self._clock.now()
            content = encoding.request(record, Stamp(self.source, number, time, traceparent, request.tracestate))
            recorded = self._record(
                Kind.REQUEST, number, time, content, record.request_id, reserve=True, oversize=oversize
            )
            reserved = self._end_room if recorded else 0
            self._open[record.request_id] = _Open(request, reserved, recorded)
            self._reserved += reserved
        return number

    def end(self, record: ResponseRecord, *, traceparent: str = "") -> bool:
        """Append how a request ended; False where its end was recorded before (the first one counts)."""
        with self._lock:
            opened = self._open.get(record.request_id)
            if opened is None:
                return False
            self._reserved -= opened.reserved
            self._end(record, opened, traceparent or opened.request.traceparent)
            del self._open[record.request_id]  # only now: the head of a segment begun for this end must still name it
        return True

    def feedback(self, record: Feedback, *, identity: str, conversation_id: str = "", traceparent: str = "") -> None:
        """Append a judgement; it has no number, and is refused rather than shed.

        Raises
        ------
        SpoolFull
            There is no room, or the disk fails.
        """
        with self._lock:
            time = self._clock.now()
            stamp = Stamp(self.source, 0, time, traceparent)
            content = encoding.feedback(record, stamp, identity=identity, conversation_id=conversation_id)
            frame = encode_frame(Kind.FEEDBACK, self._number, time, content)
            if not self._has_room(len(frame)):
                raise self._refusal()
            try:
                self._append(frame, self._number, time)
            except OSError as error:
                raise self._refusal() from error

    def tick(self) -> None:
        """Append a tick, after the open gap; a full spool has no room for either, and goes on without."""
        with self._lock, contextlib.suppress(OSError):
            time = self._clock.now()
            if self._gap.gap.count:
                self._flush_gap(time, within_limit=True)
            taken = (self._journal.size_bytes + self._reserved) / self._bounds.limit_bytes
            frame = encode_frame(Kind.TICK, self._number, time, encoding.tick(self.source, time, min(taken, 1.0)))
            if self._journal.size_bytes + len(frame) <= self._bounds.limit_bytes:
                self._append(frame, self._number, time)

    def sync(self) -> None:
        """Make what was appended durable; runs beside appends."""
        try:
            self._journal.sync()
        except OSError as error:
            self._failure = error

    def recount(self) -> None:
        """Learn what the shipper has freed; a spool whose only segment is full begins another, so that it can be freed."""
        with self._lock, contextlib.suppress(OSError):
            self._journal.recount()
            if self._full and self._journal.only_segment and self._journal.has_frames:
                self._journal.rotate()
            if self._full:
                self._full = not self._has_room(self._end_room)

    @property
    def full(self) -> bool:
        """Whether the last request found no room."""
        return self._full

    def finish(self) -> None:
        """Write ``aborted`` for every request without an end, then ``closed``: nothing more comes from this source.

        Raises
        ------
        OSError
            The disk is full or failed; what was written stays, and may be gone on with.
        """
        with self._lock:
            for request_id, (request, _, recorded) in list(self._open.items()):
                if not recorded:  # the gap record that counts it is its end
                    continue
                time = self._clock.now()
                if self._gap.gap.count:
                    self._flush_gap(time)
                number = self._number + 1
                stamp = Stamp(self.source, number, time, request.traceparent, request.tracestate)
                content = encoding.end(encoding.aborted_end(request), stamp)
                self._append(encode_frame(Kind.END, number, time, content), number, time)
                del self._open[request_id]
            time = self._clock.now()
            if self._gap.gap.count:
                self._flush_gap(time)
            frame = encode_frame(Kind.CLOSED, self._number, time, encoding.closed(self.source, time))
            self._append(frame, self._number, time)

    def close(self) -> None:
        """Make everything durable and close the files."""
        with self._lock:
            try:
                self._journal.close()
            finally:
                self._gap.close()

    @property
    def _end_room(self) -> int:
        return self._bounds.end_reserve_bytes + GAP_RECORD_BYTES

    def _head(self) -> bytes:
        head = Head(
            source=self.source,
            shed=self._shed,
            open=tuple(opened.request for opened in self._open.values() if opened.recorded),
        )
        return encode_frame(Kind.HEAD, self._number, self._time, head)

    def _end(self, record: ResponseRecord, opened: _Open, traceparent: str) -> None:
        number, time = self.last_number + 1, self._clock.now()
        content = encoding.end(record, Stamp(self.source, number, time, traceparent, opened.request.tracestate))
        self._record(Kind.END, number, time, content, record.request_id, reserved=opened.reserved > 0)

    def _record(  # noqa: PLR0913 - a frame's fields, and which room it may use
        self,
        kind: Kind,
        number: int,
        time: int,
        content: Record,
        request_id: str,
        *,
        reserve: bool = False,
        reserved: bool = False,
        oversize: bool = False,
    ) -> bool:
        """Append a numbered record, or shed its number; True where it was appended."""
        frame = encode_frame(kind, number, time, content)
        if oversize or len(frame) > MAX_RECORD_BYTES:
            move_aside(self._root, self.source, number, frame)
            self._shed_number(number, request_id, "oversize", time)
            return False
        fits = self._has_room(len(frame) + (self._end_room if reserve else 0))
        self._full = not fits if reserve else self._full
        if fits or (reserved and len(frame) <= self._bounds.end_reserve_bytes):
            try:
                if self._gap.gap.count:
                    self._flush_gap(time)
                self._append(frame, number, time)
            except OSError as error:
                self._failure = error
            else:
                return True
        if reserve and self._bounds.on_full == "reject":
            raise self._refusal() from self._failure
        self._shed_number(number, request_id, "full" if self._failure is None else "disk", time)
        return False

    def _has_room(self, size: int) -> bool:
        return self._journal.size_bytes + self._reserved + size <= self._bounds.limit_bytes

    def _append(self, frame: bytes, number: int, time: int) -> None:
        self._journal.append(frame)
        self._number, self._time = number, time
        self._failure = None

    def _shed_number(self, number: int, request_id: str, reason: str, time: int) -> None:
        if self._gap.gap.count and (self._gap.full or reason != self._reason):
            with contextlib.suppress(OSError):
                self._flush_gap(time, within_limit=True)
        if not self._gap.gap.count:
            self._reason = reason
        with contextlib.suppress(OSError):
            self._gap.add(number, request_id)

    def _flush_gap(self, time: int, *, within_limit: bool = False) -> None:
        gap = self._gap.gap
        record = GapRecord(
            source=self.source,
            first_number=gap.first,
            last_number=gap.last,
            count=gap.count,
            reason=self._reason,
            request_ids=tuple(gap.request_ids),
        )
        frame = encode_frame(Kind.GAP, gap.last, time, encoding.gap(record, time=time))
        if within_limit and self._journal.size_bytes + len(frame) > self._bounds.limit_bytes:
            return
        self._append(frame, gap.last, time)
        self._shed += gap.count
        self._gap.clear()

    def _refusal(self) -> SpoolFull:
        if self._failure is not None:
            return SpoolFull(f"the spool of {self.source} cannot be written: {self._failure.strerror}; free the disk")
        return SpoolFull(
            f"the spool of {self.source} holds {self._journal.size_bytes} bytes and keeps {self._reserved} for the ends of "
            f"{len(self._open)} requests, of {self._bounds.limit_bytes}; start the shipper and Kafka, or raise "
            "capture.limit_bytes"
        )
