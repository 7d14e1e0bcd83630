"""Reading a log between fixed offsets, each partition at its own pace, in bounded memory; no group, nothing is committed."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.errors import ReplayError
from stream.wire import LogRange

__all__ = ["LogReader"]

_POLL_MS = 500
#: What waits of one partition, at most, before it is paused; a fetch may bring 1 MiB more.
_WAITING_BYTES = 4 * 1024 * 1024
_STALLED_SECONDS = 30.0


class _Lane:
    """What is read of one partition and not yet taken."""

    def __init__(self, first: int, last: int) -> None:
        self.position = first
        self.last = last
        self.waiting: deque[ConsumerRecord] = deque()
        self.bytes = 0
        self.paused = False

    @property
    def read(self) -> bool:
        """Whether everything up to the range's end was read."""
        return self.position >= self.last


class LogReader:
    """Partitions of a log, each to be read to the end of its range.

    Parameters
    ----------
    consumer
        Started, of no group; it is the reader's from now on.
    ranges
        What is read of each topic.

    Notes
    -----
    What is ahead in one partition waits, up to 5 MiB; then it is paused, so that partitions that are merged do not push the
    whole log into memory.
    """

    def __init__(self, consumer: AIOKafkaConsumer, ranges: Iterable[LogRange]) -> None:
        self._consumer = consumer
        self._lanes = {
            TopicPartition(one.topic, int(number)): _Lane(first, one.last[number])
            for one in ranges
            for number, first in one.first.items()
        }
        places = [place for place, lane in self._lanes.items() if not lane.read]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, self._lanes[place].position)

    async def next(self, topic: str, partition: int) -> ConsumerRecord | None:
        """Return the next record of a partition, None at the end of its range.

        Raises
        ------
        ReplayError
            The log expired while it was read, or Kafka gives nothing although there is more.
        """
        place = TopicPartition(topic, partition)
        lane = self._lanes[place]
        while not lane.waiting:
            if lane.read:
                return None
            await self._fill(place, lane)
        record = lane.waiting.popleft()
        lane.bytes -= len(record.value or b"")
        if lane.paused and not lane.read and lane.bytes < _WAITING_BYTES // 2:
            lane.paused = False
            self._consumer.resume(place)
        return record

    async def _fill(self, place: TopicPartition, lane: _Lane) -> None:
        """Read until something of `place` is there; what comes of the others waits for them."""
        deadline = asyncio.get_running_loop().time() + _STALLED_SECONDS
        while not lane.waiting and not lane.read:
            try:
                batches: Mapping[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                    timeout_ms=_POLL_MS
                )
            except OffsetOutOfRangeError as error:
                raise ReplayError(
                    "the log expired while it was read; begin later with --from, or keep it longer: [kafka] retention_hours"
                ) from error
            for other, records in batches.items():
                self._keep(other, records)
            if not batches:
                # The range may end in what is no record to a reader: a transaction's marker, or what was compacted.
                lane.position = max(lane.position, await self._consumer.position(place))
                if asyncio.get_running_loop().time() > deadline and not lane.read:
                    raise ReplayError(
                        f"Kafka gave nothing of {place.topic}/{place.partition} for {_STALLED_SECONDS:.0f} s, "
                        f"{lane.last - lane.position} records before the end; is the broker well? Run it again"
                    )

    def _keep(self, place: TopicPartition, records: list[Any]) -> None:
        lane = self._lanes[place]
        for record in records:
            if record.offset < lane.last:
                lane.waiting.append(record)
                lane.bytes += len(record.value or b"")
        lane.position = records[-1].offset + 1
        if not lane.paused and (lane.read or lane.bytes > _WAITING_BYTES):
            lane.paused = True
            self._consumer.pause(place)
