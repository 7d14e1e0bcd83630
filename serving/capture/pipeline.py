"""Ships one spool in its order: read, send with many in flight, move the cursor over the completed prefix, free segments.

Order of effects: sent and acknowledged → cursor written and synced → segment unlinked. A kill between any two of them sends
again what is between them; consumers drop repeated ids.
"""

import asyncio
import logging
from collections import deque
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiokafka.errors import MessageSizeTooLargeError
from opentelemetry.trace import Tracer

from serving.capture import event_encoding as encoding
from serving.capture.delivery_cursor import Cursor, load_cursor, save_cursor
from serving.capture.metrics import ShipperMetrics
from serving.capture.producer import Delivery, DeliveryLost, Lease, is_size_error
from serving.capture.segment import Kind, record_of, segment_path, segments
from serving.capture.sender import Sender, Sent
from serving.capture.spool_reader import Item, SpoolReader
from serving.capture.unsendable import move_aside
from stream.wire import GapRecord

__all__ = ["Pace", "Pipeline"]

_LOG = logging.getLogger(__name__)
_DRAIN_SECONDS = 5.0

_YIELD_EVERY = 32
_NUMBERED = (Kind.REQUEST, Kind.END)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a pipeline goes.

    Parameters
    ----------
    window_frames, window_bytes
        In flight, at most.
    poll_seconds
        How often an idle spool is looked at.
    save_seconds
        How often the cursor is written, at most; a kill sends again what came since.
    stall_seconds
        A producer that gets nothing acknowledged for so long is given up.
    """

    window_frames: int = 1024
    window_bytes: int = 8 * 1024 * 1024
    poll_seconds: float = 0.02
    save_seconds: float = 0.1
    stall_seconds: float = 40.0


class _Entry(NamedTuple):
    """What is in flight for one frame."""

    cursor: Cursor
    size: int
    futures: list[Sent]
    began: float


class Pipeline:
    """Ships one spool.

    Parameters
    ----------
    directory
        The spool's.
    delivery
        Where producers come from.
    tracer, metrics
        Where it reports.
    pace
        Bounds and intervals.
    """

    def __init__(
        self,
        directory: Path,
        delivery: Delivery,
        *,
        tracer: Tracer,
        metrics: ShipperMetrics,
        pace: Pace | None = None,
    ) -> None:
        self._directory = directory
        self._source = directory.name
        self._delivery = delivery
        self._partitions = delivery.partitions
        self._sender = Sender(delivery.names, delivery.partitions, tracer, metrics)
        self._metrics = metrics
        self._pace = pace or Pace()
        self._window: deque[_Entry] = deque()
        self._window_bytes = 0
        self._refused: set[tuple[int, int]] = set()
        self._careful = 0
        self._saved = self.cursor = load_cursor(directory)
        self._saved_at = self._progress_at = 0.0

    @property
    def closed(self) -> bool:
        """Whether the source has ended and everything of it is delivered."""
        return self.cursor.closed

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until the source is closed and everything of it delivered (then :attr:`closed` is True), or until `stop`.

        What is in flight at `stop` is waited for for a few seconds, and the cursor is written.
        """
        while not self.closed and not stop.is_set():
            lease = await self._lease(stop)
            if lease is None:
                return
            reader = SpoolReader(self._directory, self.cursor, frozenset(self._refused))
            try:
                await self._ship(lease, reader, stop)
            except DeliveryLost as error:
                _LOG.warning("%s: sends again after number %d: %s", self._source, self.cursor.number, error)
                lease.lose(str(error))
            finally:
                reader.close()
                self._window.clear()
                self._window_bytes = 0

    async def _lease(self, stop: asyncio.Event) -> Lease | None:
        lease = asyncio.ensure_future(self._delivery.lease())
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((lease, stopped), return_when=asyncio.FIRST_COMPLETED)
            return lease.result() if lease.done() else None
        finally:
            lease.cancel()
            stopped.cancel()

    async def _ship(self, lease: Lease, reader: SpoolReader, stop: asyncio.Event) -> None:
        while not self.closed and not stop.is_set():
            items = reader.read()
            for position, item in enumerate(_without_idle_ticks(items)):
                await self._make_room(lease)
                await self._send(lease, item)
                if position % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)  # a send that needs no waiting would keep the sender from its turn
            self._advance(lease)
            if _now() - self._saved_at >= self._pace.save_seconds:
                await self._save()
            if not items:
                await self._wait(self._pace.poll_seconds)
        deadline = _now() + _DRAIN_SECONDS
        while self._window and _now() < deadline:
            await self._wait(self._pace.poll_seconds)
            self._advance(lease)
        await self._save()

    async def _make_room(self, lease: Lease) -> None:
        """Wait until another frame may be in flight; a producer that gets nothing through for long is given up."""
        frames = 1 if self._careful else self._pace.window_frames
        while len(self._window) >= frames or self._window_bytes >= self._pace.window_bytes:
            await self._wait(1.0)
            self._advance(lease)
        self._careful = max(0, self._careful - 1)

    async def _wait(self, seconds: float) -> None:
        """Wait for the first frame in flight; the head of a segment is none, it goes with the next look."""
        if not self._window:
            await asyncio.sleep(seconds)
        elif self._window[0].futures:
            await asyncio.wait(self._window[0].futures, timeout=seconds)

    def _advance(self, lease: Lease) -> None:
        """Move the cursor over the completed prefix; raises DeliveryLost."""
        while self._window and all(future.done() for future in self._window[0].futures):
            entry = self._window[0]
            self._check(entry)
            self._window.popleft()
            self._window_bytes -= entry.size
            self.cursor = entry.cursor
            self._progress_at = _now()
        if lease.is_lost:
            raise DeliveryLost(lease.reason)
        if self._window and _now() - max(self._progress_at, self._window[0].began) > self._pace.stall_seconds:
            raise DeliveryLost(f"nothing was acknowledged for {self._pace.stall_seconds:.0f} s")

    def _check(self, entry: _Entry) -> None:
        for future in entry.futures:
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            if is_size_error(error):
                self._refuse(entry.cursor)
            if error is not None:
                raise DeliveryLost(repr(error)) from error

    def _refuse(self, cursor: Cursor) -> None:
        """Find the record that the broker refuses: a batch is refused whole, so what is in flight goes one by one first."""
        if len(self._window) == 1:
            self._refused.add((cursor.segment, cursor.offset))
        self._careful = len(self._window) + 1

    async def _send(self, lease: Lease, item: Item) -> None:
        futures: list[Sent] = []
        size = len(item.frame.payload)
        if item.missing:
            futures.append(await self._send_gap(lease, item, item.first_missing, item.missing, "damaged"))
        if item.refused:
            futures += await self._send_refused(lease, item)
        elif item.frame.kind in {Kind.TICK, Kind.CLOSED}:
            record = record_of(item.frame)
            futures += [await self._sender.send(lease, record, partition) for partition in range(self._partitions)]
        elif item.frame.kind != Kind.HEAD:
            record = record_of(item.frame)
            try:
                futures.append(await self._sender.send(lease, record, None, feedback=item.frame.kind == Kind.FEEDBACK))
            except MessageSizeTooLargeError as error:
                self._refused.add((item.cursor.segment, item.cursor.offset))
                raise DeliveryLost(repr(error)) from error
        self._window.append(_Entry(item.cursor, size, futures, _now()))
        self._window_bytes += size

    async def _send_refused(self, lease: Lease, item: Item) -> list[Sent]:
        """Send a gap record in the place of what is too large, and keep that aside."""
        frame = item.frame
        move_aside(self._directory.parent, self._source, frame.number, frame.payload)
        _LOG.error("%s: number %d is too large for the broker; moved aside", self._source, frame.number)
        if frame.kind not in _NUMBERED:
            return []
        request_id = dict(record_of(frame).headers).get("ce_correlationid", b"").decode()
        return [await self._send_gap(lease, item, frame.number, 1, "oversize", request_id)]

    async def _send_gap(self, lease: Lease, item: Item, first: int, count: int, reason: str, *request_ids: str) -> Sent:
        self._metrics.moved.inc(count)
        record = GapRecord(
            source=self._source,
            first_number=first,
            last_number=first + count - 1,
            count=count,
            reason=reason,
            request_ids=request_ids,
        )
        return await self._sender.send(lease, encoding.gap(record, time=item.frame.time), None)

    async def _save(self) -> None:
        """Write the cursor, then unlink what is behind it."""
        self._saved_at = _now()
        if self.cursor == self._saved:
            return
        cursor = self.cursor
        writing = asyncio.ensure_future(asyncio.to_thread(save_cursor, self._directory, cursor))
        try:
            await asyncio.shield(writing)
        finally:
            await asyncio.wait([writing])  # cancelled: the next shipper may begin only when no thread writes any more
        self._saved = cursor
        for index in segments(self._directory):
            if index < cursor.segment:
                segment_path(self._directory, index).unlink(missing_ok=True)


def _now() -> float:
    """Return the loop's time: pace and patience follow the clock that waits."""
    return asyncio.get_running_loop().time()


def _without_idle_ticks(items: list[Item]) -> list[Item]:
    """Leave out ticks that another tick follows at once: the later one says more, and a backlog of an idle night drains fast."""
    following = [item.frame.kind for item in items[1:]]
    return [
        item
        for position, item in enumerate(items)
        if not (item.frame.kind == Kind.TICK and following[position : position + 1] == [Kind.TICK])
    ]
