"""Reads ranges of the log from the archive where Kafka has deleted the records, else from Kafka."""

import asyncio
from collections.abc import Iterable, Iterator

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.archive.segments import Archive, ArchivedRecord
from stream.errors import LogExpired
from stream.kafka.range_reader import RangeReader
from stream.wire import LogRange

__all__ = ["ArchivedRangeReader", "since_in_archive"]

_CHUNK = 500


class ArchivedRangeReader:
    """Reads each partition to the end of its range, as :class:`RangeReader`; :meth:`open` creates one."""

    def __init__(
        self, archive: Archive | None, reader: RangeReader, archived: dict[TopicPartition, tuple[int, int]]
    ) -> None:
        self._reader = reader
        self._parts = {
            place: _records(archive, place, first, last)
            for place, (first, last) in archived.items()
            if archive is not None
        }
        self._waiting: dict[TopicPartition, list[ArchivedRecord]] = {}

    @classmethod
    async def open(
        cls, consumer: AIOKafkaConsumer, ranges: Iterable[LogRange], archive: Archive | None
    ) -> "ArchivedRangeReader":
        """Return a reader of `ranges`; offsets that Kafka has deleted are read from `archive`.

        Raises LogExpired if Kafka has deleted records of a range and the archive does not contain them.
        """
        ranges = tuple(ranges)
        places = [TopicPartition(item.topic, int(number)) for item in ranges for number in item.first]
        begins = await consumer.beginning_offsets(places)
        archived: dict[TopicPartition, tuple[int, int]] = {}
        left: list[LogRange] = []
        for item in ranges:
            first = dict(item.first)
            for number, offset in item.first.items():
                place = TopicPartition(item.topic, int(number))
                if offset < min(begins[place], item.last[number]):
                    first[number] = min(begins[place], item.last[number])
                    archived[place] = (offset, first[number])
            left.append(msgspec.structs.replace(item, first=first))
        for place, (begin, end) in archived.items():
            await asyncio.to_thread(_check, archive, place, begin, end)
        return cls(archive, RangeReader(consumer, left), archived)

    async def next(self, topic: str, partition: int) -> ConsumerRecord | ArchivedRecord | None:
        """Return the next record of a partition, or None at the end of its range; raises as :class:`RangeReader`."""
        place = TopicPartition(topic, partition)
        if place in self._parts:
            if not self._waiting.get(place):
                self._waiting[place] = await asyncio.to_thread(_chunk, self._parts[place])
            if self._waiting[place]:
                return self._waiting[place].pop()
            del self._parts[place]
        return await self._reader.next(topic, partition)


async def since_in_archive(item: LogRange, archive: Archive | None, since: float | None) -> LogRange:
    """Return `item` from the first record that was produced at `since` (None: any time) or later, archived records included."""
    if archive is None:
        return item
    first = dict(item.first)
    for number, offset in item.first.items():
        found = await asyncio.to_thread(archive.produced_since, item.topic, int(number), since)
        if found is not None:
            first[number] = min(offset, found)
    return msgspec.structs.replace(item, first=first)


def _chunk(records: Iterator[ArchivedRecord]) -> list[ArchivedRecord]:
    """Return the next records, last first."""
    found = [record for record, _ in zip(records, range(_CHUNK), strict=False)]
    return found[::-1]


def _records(archive: Archive, place: TopicPartition, first: int, last: int) -> Iterator[ArchivedRecord]:
    for segment in archive.segments(place.topic, place.partition):
        if segment.last <= first or segment.first >= last:
            continue
        for record in archive.read(segment):
            if first <= record.offset < last:
                yield record
        first = max(first, segment.last)


def _check(archive: Archive | None, place: TopicPartition, first: int, last: int) -> None:
    position = first
    for segment in () if archive is None else archive.segments(place.topic, place.partition):
        if segment.first <= position < segment.last:
            position = segment.last
    if position < last:
        where = "there is no archive" if archive is None else "the archive does not contain them"
        raise LogExpired(
            f"Kafka has deleted the offsets {position} to {last} of {place.topic}-{place.partition}, and {where}; choose a later range, and"
            " set [archive] url and run `weir archive run` before records expire"
        )
