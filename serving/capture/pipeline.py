"""Send one spool to Kafka in order: read frames, send many frames at once, advance the cursor over acknowledged frames, unlink segments.

After the acknowledgement, the sent frames are synced, the cursor is written and synced, and then segments are unlinked. A kill between
these steps sends records again, and consumers deduplicate by id. A frame is in flight from its sending to its acknowledgement.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from opentelemetry.trace import Tracer

from serving.capture import event_encoding as encoding
from serving.capture.delivery_cursor import Cursor, load_cursor, save_cursor
from serving.capture.metrics import ShipperMetrics
from serving.capture.producer import Delivery, DeliveryLost, Lease
from serving.capture.segment import Kind, record_of, segment_path, segments
from serving.capture.sender import Sender, Sent
from serving.capture.spool_layout import move_aside
from serving.capture.spool_reader import Item, SpoolReader
from stream.files import sync_directory
from stream.wire import GapRecord

_LOG = logging.getLogger(__name__)
_DRAIN_SECONDS = 5.0
_ROOM_SECONDS = 1.0
#: Records that are sent before the event loop can run other tasks.
_YIELD_EVERY = 32
_NUMBERED = (Kind.REQUEST, Kind.END)


class DeliveryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the frames in flight (`window_frames`, `window_bytes`), and intervals of a pipeline.

    A spool without new frames is read every `poll_seconds`. The cursor is written every `save_seconds`; if the shipper
    is killed, the records since the last write are sent again. A producer without an acknowledgement for
    `stall_seconds` is replaced.
    """

    window_frames: int = 1024
    window_bytes: int = 8 * 1024 * 1024
    poll_seconds: float = 0.02
    save_seconds: float = 0.1
    stall_seconds: float = 40.0


class _Entry(NamedTuple):
    """One frame in flight; `cursor` is the position after the frame."""

    cursor: Cursor
    size: int
    futures: list[Sent]
    began: float


class Pipeline:
    """Sends the spool in `directory` with the producers of `delivery`."""

    def __init__(
        self,
        directory: Path,
        delivery: Delivery,
        *,
        tracer: Tracer,
        metrics: ShipperMetrics,
        limits: DeliveryLimits | None = None,
    ) -> None:
        self._directory = directory
        self._source = directory.name
        self._delivery = delivery
        self._partitions = delivery.partitions
        self._sender = Sender(delivery.names, delivery.partitions, tracer, metrics)
        self._metrics = metrics
        self._limits = limits or DeliveryLimits()
        self._window: deque[_Entry] = deque()
        self._window_bytes = 0
        self._rejected: set[tuple[int, int]] = set()
        self._careful = 0
        self._saved = self.cursor = load_cursor(directory)
        self._saved_at = self._progress_at = 0.0

    @property
    def closed(self) -> bool:
        """Whether the spool is closed and all its records are delivered."""
        return self.cursor.closed

    async def run(self, stop: asyncio.Event) -> None:
        """Send until :attr:`closed` or `stop`; then wait a few seconds for frames in flight, and write the cursor."""
        while not self.closed and not stop.is_set():
            lease = await self._lease(stop)
            if lease is None:
                return
            reader = SpoolReader(self._directory, self.cursor, frozenset(self._rejected))
            try:
                await self._ship(lease, reader, stop)
            except DeliveryLost as error:
                _LOG.warning("%s: sends again from record %d on: %s", self._source, self.cursor.number, error)
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
                    await asyncio.sleep(0)  # a send that never blocks would starve the sender task
            self._advance(lease)
            if _now() - self._saved_at >= self._limits.save_seconds:
                await self._save()
            if reader.caught_up:  # the frames of an interval are sent together
                await asyncio.sleep(self._limits.poll_seconds)
        deadline = _now() + _DRAIN_SECONDS
        while self._window and _now() < deadline:
            await self._wait(self._limits.poll_seconds)
            self._advance(lease)
        await self._save()

    async def _make_room(self, lease: Lease) -> None:
        """Wait until the limits allow another frame in flight."""
        frames = 1 if self._careful else self._limits.window_frames
        while len(self._window) >= frames or self._window_bytes >= self._limits.window_bytes:
            await self._wait(_ROOM_SECONDS)
            self._advance(lease)
        self._careful = max(0, self._careful - 1)

    async def _wait(self, seconds: float) -> None:
        """Wait up to `seconds` for the acknowledgement of the oldest frame in flight; a HEAD frame is never sent and needs none."""
        if self._window[0].futures:
            await asyncio.wait(self._window[0].futures, timeout=seconds)

    def _advance(self, lease: Lease) -> None:
        """Advance the cursor over the oldest frames in flight, up to the first unacknowledged one; raises DeliveryLost if a delivery failed."""
        while self._window and all(future.done() for future in self._window[0].futures):
            entry = self._window[0]
            self._check(entry)
            self._window.popleft()
            self._window_bytes -= entry.size
            self.cursor = entry.cursor
            self._progress_at = _now()
        if lease.is_lost:
            raise DeliveryLost(lease.reason)
        if self._window and _now() - max(self._progress_at, self._window[0].began) > self._limits.stall_seconds:
            raise DeliveryLost(f"nothing was acknowledged for {self._limits.stall_seconds:.0f} s")

    def _check(self, entry: _Entry) -> None:
        for future in entry.futures:
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
                self._reject(entry.cursor)
            if error is not None:
                raise DeliveryLost(repr(error)) from error

    def _reject(self, cursor: Cursor) -> None:
        """Resend the records in flight one by one, because the broker rejects a whole batch for one record.

        If only one record is in flight, mark this record as rejected.
        """
        if len(self._window) == 1:
            self._rejected.add((cursor.segment, cursor.offset))
        self._careful = len(self._window) + 1

    async def _send(self, lease: Lease, item: Item) -> None:
        futures: list[Sent] = []
        size = len(item.frame.payload)
        if item.missing:
            futures.append(await self._send_gap(lease, item, item.first_missing, item.missing, "damaged"))
        if item.rejected:
            futures += await self._send_rejected(lease, item)
        elif item.frame.kind in {Kind.TICK, Kind.CLOSED}:
            record = record_of(item.frame)
            futures += [await self._sender.send(lease, record, partition) for partition in range(self._partitions)]
        elif item.frame.kind != Kind.HEAD:
            record = record_of(item.frame)
            try:
                futures.append(await self._sender.send(lease, record, None, feedback=item.frame.kind == Kind.FEEDBACK))
            except MessageSizeTooLargeError as error:
                self._rejected.add((item.cursor.segment, item.cursor.offset))
                raise DeliveryLost(repr(error)) from error
        self._window.append(_Entry(item.cursor, size, futures, _now()))
        self._window_bytes += size

    async def _send_rejected(self, lease: Lease, item: Item) -> list[Sent]:
        """Send a gap record instead of a record that is too large, and store that record in ``aside/``."""
        frame = item.frame
        move_aside(self._directory.parent, self._source, frame.number, frame.payload)
        _LOG.error(
            "%s: record %d is too large for Kafka and was not sent; its bytes are in the folder aside of the spool",
            self._source,
            frame.number,
        )
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
        """Write the cursor, then unlink the segments before it."""
        self._saved_at = _now()
        if self.cursor == self._saved:
            return
        cursor = self.cursor
        writing = asyncio.ensure_future(asyncio.to_thread(_sync_and_save, self._directory, cursor))
        try:
            await asyncio.shield(writing)
        finally:
            await asyncio.wait([writing])  # if cancelled, the thread must end before the next shipper starts
        self._saved = cursor
        for index in segments(self._directory):
            if index < cursor.segment:
                segment_path(self._directory, index).unlink(missing_ok=True)


def _sync_and_save(directory: Path, cursor: Cursor) -> None:
    """Sync the frames before `cursor`, then write the cursor, so that after a power loss the spool does not end before its cursor."""
    with contextlib.suppress(FileNotFoundError), segment_path(directory, cursor.segment).open("rb") as segment:
        os.fdatasync(segment.fileno())
    sync_directory(directory)
    save_cursor(directory, cursor)


def _now() -> float:
    """Return the event loop's time."""
    return asyncio.get_running_loop().time()


def _without_idle_ticks(items: list[Item]) -> list[Item]:
    """Drop each tick (heartbeat record) that is directly followed by another tick, so that an idle time's backlog is short.

    A tick after damaged records is kept, because the gap record of the damaged records is sent with it.
    """
    following = [item.frame.kind for item in items[1:]]
    return [
        item
        for position, item in enumerate(items)
        if item.missing or not (item.frame.kind == Kind.TICK and following[position : position + 1] == [Kind.TICK])
    ]
