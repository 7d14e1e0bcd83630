"""Reads a log between fixed offsets in bounded memory: records of several partitions, or events of one partition."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.errors import LogExpired
from stream.kafka.clients import BROKER_ERRORS, consumer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader, Records
from stream.kafka.stall import StallDetector
from stream.wire import Event, LogRange, readable

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
#: Time from the broker's first error, or at the end of a log that is shorter than the range, after which reading a range fails.
_OUTAGE_SECONDS = 30.0
#: The broker denies access; waiting does not change that.
_ACCESS_ERRORS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
#: Waiting bytes at which a partition is paused; a fetch can add 1 MiB.
_WAITING_BYTES = 4 * 1024 * 1024
#: Memory of a record and of a header, in bytes, in addition to their values.
_RECORD_BYTES, _HEADER_BYTES = 500, 200


class _Lane:
    """Records of one partition that were read but not yet returned by :meth:`RangeReader.next`."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.waiting: deque[ConsumerRecord] = deque()
        self.bytes = 0
        self.paused = False


class RangeReader:
    """Reads each partition of a log to the end of its range, with a started consumer that has no group.

    A partition with more than 4 MiB of waiting records is paused, so that merging partitions needs bounded memory.
    """

    def __init__(self, consumer: AIOKafkaConsumer, ranges: Iterable[LogRange]) -> None:
        self._consumer = consumer
        self._lanes: dict[TopicPartition, _Lane] = {}
        positions: dict[TopicPartition, int] = {}
        for item in ranges:
            for number, first in item.first.items():
                partition = TopicPartition(item.topic, int(number))
                self._lanes[partition] = _Lane(item.last[number])
                if first < item.last[number]:
                    positions[partition] = first
        self._reader = LogReader(consumer, positions)
        self._clock = asyncio.get_running_loop().time
        self._failing_since: float | None = None
        self._end = StallDetector(_OUTAGE_SECONDS)

    async def next(self, topic: str, partition: int) -> ConsumerRecord | None:
        """Return the next record of a partition, or None at the end of its range; raises broker errors after 30 s.

        Raises LogExpired if a record of the range was deleted, or after 30 s at the end of a log that is shorter than the range.
        """
        tp = TopicPartition(topic, partition)
        lane = self._lanes[tp]
        while not lane.waiting:
            if self._is_read(tp):
                return None
            for other, records in (await self._read()).items():
                self._keep(other, records)
        record = lane.waiting.popleft()
        lane.bytes -= _size(record)
        if lane.paused and not self._is_read(tp) and lane.bytes < _WAITING_BYTES // 2:
            lane.paused = False
            self._consumer.resume(tp)
        return record

    async def _read(self) -> Records:
        """Return the next records, or none while the broker fails; raise an error that lasts 30 s or denies access."""
        try:
            records = await self._reader.read()
        except _ACCESS_ERRORS:
            raise
        except BROKER_ERRORS as error:
            now = self._clock()
            if self._failing_since is None:
                self._failing_since = now
                topics = ", ".join(sorted({partition.topic for partition in self._lanes}))
                _log.warning(
                    "%s: reading fails (%s); retrying for %.0f s", topics, type(error).__name__, _OUTAGE_SECONDS
                )
            if now - self._failing_since >= _OUTAGE_SECONDS:
                raise
            await asyncio.sleep(_RETRY_SECONDS)  # some errors come at once
            return {}
        self._failing_since = None
        if not records:
            self._check_end()
        return records

    def _check_end(self) -> None:
        """Raise LogExpired if a log has been shorter than its range for 30 s; a new leader can report an earlier end for a moment."""
        positions, ends = self._reader.positions, self._reader.ends
        short = [tp for tp, end in ends.items() if positions[tp] >= end and not self._is_read(tp)]
        if self._end.observe(now=self._clock(), progress=sum(positions.values()), work=bool(short)):
            tp = short[0]
            raise LogExpired(
                f"{tp.topic}-{tp.partition} ends at offset {ends[tp]}, and the range to read ends at {self._lanes[tp].last}: the topic "
                "was deleted and created again, and the records of the range are lost; choose a later range"
            )

    def _is_read(self, partition: TopicPartition) -> bool:
        last = self._lanes[partition].last
        return bool(self._reader.positions.get(partition, last) >= last)

    def _keep(self, partition: TopicPartition, records: list[ConsumerRecord]) -> None:
        lane = self._lanes[partition]
        for record in records:
            if record.offset < lane.last:
                lane.waiting.append(record)
                lane.bytes += _size(record)
        if not lane.paused and (self._is_read(partition) or lane.bytes > _WAITING_BYTES):
            lane.paused = True
            self._consumer.pause(partition)


def _size(record: ConsumerRecord) -> int:
    """Return about how much memory a record takes: of a tick, the value is only a thirtieth."""
    return _RECORD_BYTES + _HEADER_BYTES * len(record.headers) + len(record.key or b"") + len(record.value or b"")


async def retained(
    options: Mapping[str, Any], topic: str, partition: int, offsets: range, progress: Callable[[], None]
) -> AsyncIterator[tuple[int, Event]]:
    """Yield (offset, event) of each record in `offsets` that still exists; wait while the broker is away.

    Unreadable records are skipped: they became dead letters when they were first read. `progress` is called after each
    poll, so that a watchdog does not end a long read.
    """
    tp = TopicPartition(topic, partition)
    position = offsets.start
    while position < offsets.stop:
        try:
            async with consumer_for(options) as consumer:
                first = (await consumer.beginning_offsets([tp]))[tp]
                reader = LogReader(consumer, {tp: max(position, first)})
                while position < offsets.stop:
                    for record in (await reader.read()).get(tp, ()):
                        event = readable(record.value, record.headers)
                        if event is not None and record.offset < offsets.stop:
                            yield record.offset, event
                    position = reader.positions[tp]
                    progress()
        except READ_ERRORS as error:
            _log.warning(
                "%s-%d: reading fails (%s); retrying from offset %d", topic, partition, type(error).__name__, position
            )
            await asyncio.sleep(_RETRY_SECONDS)
