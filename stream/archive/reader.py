"""Reads ranges of the log from the archive where Kafka has deleted the records, else from Kafka."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.archive.segments import Archive, ArchivedRecord, Position, in_milliseconds
from stream.errors import LogExpired
from stream.kafka.log_reader import partitions_of
from stream.kafka.range_reader import RangeReader
from stream.kafka.time_ranges import LATE_SECONDS, log_range
from stream.wire import LogRange, format_time

_CHUNK = 500


class ArchivedRangeReader:
    """Reads each partition to the end of its range, as :class:`RangeReader`; :meth:`open` creates one."""

    def __init__(
        self, archive: Archive | None, reader: RangeReader, archived: dict[TopicPartition, tuple[int, int]]
    ) -> None:
        self._reader = reader
        self._parts = {
            tp: _records(archive, tp, first, last) for tp, (first, last) in archived.items() if archive is not None
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
        tps = [TopicPartition(item.topic, int(number)) for item in ranges for number in item.first]
        begins = await consumer.beginning_offsets(tps)
        archived: dict[TopicPartition, tuple[int, int]] = {}
        left: list[LogRange] = []
        for item in ranges:
            first = dict(item.first)
            for number, offset in item.first.items():
                tp = TopicPartition(item.topic, int(number))
                if offset < min(begins[tp], item.last[number]):
                    first[number] = min(begins[tp], item.last[number])
                    archived[tp] = (offset, first[number])
            left.append(msgspec.structs.replace(item, first=first))
        gaps = [
            await _described(consumer, archive, tp, gap)
            for tp, (begin, end) in archived.items()
            if (gap := await asyncio.to_thread(_last_gap, archive, tp, begin, end)) is not None
        ]
        if gaps:
            raise LogExpired(max(gaps)[1])
        return cls(archive, RangeReader(consumer, left), archived)

    async def next(self, topic: str, partition: int) -> ConsumerRecord | ArchivedRecord | None:
        """Return the next record of a partition, or None at the end of its range; raises as :class:`RangeReader`."""
        tp = TopicPartition(topic, partition)
        if tp in self._parts:
            if not self._waiting.get(tp):
                self._waiting[tp] = await asyncio.to_thread(_chunk, self._parts[tp])
            if self._waiting[tp]:
                return self._waiting[tp].pop()
            del self._parts[tp]
        return await self._reader.next(topic, partition)


async def archived_range(  # noqa: PLR0913, PLR0917 - the arguments of log_range
    consumer: AIOKafkaConsumer,
    topic: str,
    partitions: int,
    since: float | None,
    until: float | None,
    archive: Archive | None,
) -> LogRange:
    """Return the result of :func:`stream.kafka.time_ranges.log_range` for the log with the records in `archive`.

    If lost records are directly before the first record and can be as new as `since`, the range begins with their offsets, so that its reader reports
    them. Records are lost if neither Kafka nor the archive contains them; a partition without archived records has no lost records.
    """
    item = await log_range(consumer, topic, partitions, since, until)
    if archive is None:
        return item
    tps = partitions_of({topic: partitions})
    begins, oldest = (
        await consumer.beginning_offsets(tps),
        await consumer.offsets_for_times(dict.fromkeys(tps, 0)),
    )
    first, last = dict(item.first), dict(item.last)
    for tp, begin in begins.items():
        number, kept = str(tp.partition), oldest.get(tp)
        found = await asyncio.to_thread(archive.produced_since, topic, tp.partition, since)
        if found is None and kept is not None and first[number] == begin:
            found = Position(begin, kept.timestamp, await asyncio.to_thread(archive.end, topic, tp.partition))
        if found is not None and found.offset <= min(first[number], begin):
            may_lack = (
                since is not None and 0 < found.before < found.offset and found.timestamp > in_milliseconds(since)
            )
            first[number] = found.before if may_lack else found.offset
        if until is not None and last[number] <= begin:
            end = await asyncio.to_thread(archive.last_until, topic, tp.partition, until, until + LATE_SECONDS)
            last[number] = last[number] if end is None else max(first[number], min(last[number], end))
    return LogRange(topic=topic, first=first, last=last)


def _chunk(records: Iterator[ArchivedRecord]) -> list[ArchivedRecord]:
    """Return the next records, last first."""
    return list(islice(records, _CHUNK))[::-1]


def _records(archive: Archive, tp: TopicPartition, first: int, last: int) -> Iterator[ArchivedRecord]:
    for segment in archive.segments(tp.topic, tp.partition):
        if segment.last <= first or segment.first >= last:
            continue
        for record in archive.read(segment):
            if first <= record.offset < last:
                yield record
        first = max(first, segment.last)


def _last_gap(archive: Archive | None, tp: TopicPartition, first: int, last: int) -> tuple[int, int] | None:
    """Return the last offsets from `first` to `last`, exclusive, that the archive does not contain, or None."""
    gap, position = None, first
    for segment in () if archive is None else archive.segments(tp.topic, tp.partition):
        if position < min(segment.first, last):
            gap = position, min(segment.first, last)
        position = max(position, segment.last)
    return (position, last) if position < last else gap


async def _described(
    consumer: AIOKafkaConsumer, archive: Archive | None, tp: TopicPartition, gap: tuple[int, int]
) -> tuple[int, str]:
    """Return the time of the record after a gap in ms, or 0, and the error, so that the gap with the latest end can be named."""
    first, last = gap
    archived = None if archive is None else await asyncio.to_thread(next, _records(archive, tp, last, last + 1), None)
    kept = archived or (await consumer.offsets_for_times({tp: 0})).get(tp)
    where = "there is no archive" if archive is None else "the archive does not contain them"
    what = "them" if last - first > 1 else "it"
    numbers = f"offsets {first} to {last - 1}" if last - first > 1 else f"offset {first}"
    later = (
        ""
        if kept is None
        else f"choose a range from {format_time(kept.timestamp / 1000)} on, when the next record was produced; "
    )
    remedy = "set [archive] url, and run" if archive is None else "run"
    return 0 if kept is None else kept.timestamp, (
        f"Kafka has deleted the {numbers} of {tp.topic}-{tp.partition}, and {where.replace('them', what)}; {later}to lose no more,"
        f" {remedy} `weir archive run` before records expire"
    )
