"""Copies the log into the archive, from the end of the archive to the end of the log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.address import redacted
from stream.archive.segments import Archive, ArchivedRecord
from stream.archive.settings import ArchiveSettings
from stream.content import raw_content
from stream.errors import ArchiveFailed, LogExpired
from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import partitions_of, record_at
from stream.kafka.range_reader import RangeReader
from stream.kafka.topic_checks import required_counts
from stream.settings import KafkaSettings
from stream.wire import LogRange

_log = logging.getLogger(__name__)
#: Bytes of values at which a segment ends.
_SEGMENT_BYTES = 64 * 1024 * 1024

_OTHER_LOG = "the topic was created again; choose another url for its records"

Progress = Callable[[int, int], None]


async def archive_log(
    kafka: KafkaSettings, settings: ArchiveSettings, progress: Progress = lambda _done, _total: None
) -> dict[str, int]:
    """Archive what Kafka contains now, and return {topic: records}. A segment is complete or absent, so a run can be repeated.

    Records that Kafka deleted before they were archived are a gap: the archiver logs the gap, and readers report it. Raises broker errors,
    TopicMissing, and ArchiveFailed if the archive cannot be written or is of another log.
    """
    archive = Archive(settings.url)
    names = kafka.names  # the topics that datasets and replays read
    topics = (names.inference, names.verdicts, names.feedback, names.signals, names.findings)
    counts = await required_counts(kafka.client_options(), topics)
    tps = partitions_of(counts)
    written = dict.fromkeys(counts, 0)
    async with consumer_for(kafka.client_options()) as consumer:
        begins = await consumer.beginning_offsets(tps)
        ends = await consumer.end_offsets(tps)
        archived = {tp: await asyncio.to_thread(archive.end, tp.topic, tp.partition) for tp in tps}
        for tp in tps:
            if archived[tp] > ends[tp]:
                raise ArchiveFailed(
                    f"[archive] url {redacted(settings.url)!r} has records of {tp.topic}/{tp.partition} up to offset {archived[tp]}, "
                    f"but the topic ends at {ends[tp]}: {_OTHER_LOG}"
                )
            await _check_same_log(consumer, archive, settings.url, tp)
        total = sum(max(0, ends[tp] - max(begins[tp], archived[tp])) for tp in tps)
        for tp in tps:
            async for records in _copied(consumer, archive, tp, ends[tp], settings.segment_records):
                written[tp.topic] += records
                progress(sum(written.values()), total)
    return written


async def _copied(
    consumer: AIOKafkaConsumer, archive: Archive, tp: TopicPartition, end: int, most: int
) -> AsyncIterator[int]:
    """Archive a partition up to the offset `end`, and yield the number of records of each segment.

    If Kafka deletes records before they are read, continue with its first record.
    """
    last_start = -1
    while (start := await _start(consumer, archive, tp, last_start, end)) < end:
        if start == last_start:
            raise ArchiveFailed(
                f"offset {start} of {tp.topic}/{tp.partition} cannot be read, although the topic contains it: was the topic created "
                "again meanwhile? Run `weir archive run` again"
            )
        last_start, number = start, str(tp.partition)
        reader = RangeReader(consumer, [LogRange(topic=tp.topic, first={number: start}, last={number: end})])
        try:
            async for records, last in _segments(reader, tp, end, most):
                await asyncio.to_thread(archive.write, tp.topic, tp.partition, last, records)
                yield len(records)
        except LogExpired:
            continue
        return


async def _start(consumer: AIOKafkaConsumer, archive: Archive, tp: TopicPartition, last_start: int, end: int) -> int:
    """Return the first offset to archive, and log the offsets that Kafka deleted since the last segment or start."""
    begin: int = (await consumer.beginning_offsets([tp]))[tp]
    archived = await asyncio.to_thread(archive.end, tp.topic, tp.partition)
    known = max(archived, last_start)
    if (archived or last_start >= 0) and known < begin < end:
        _log.warning(
            "Kafka deleted the offsets %d to %d of %s-%d before they were archived; run `weir archive run` more often, or keep records "
            "longer (docs/sizing.md)",
            known,
            begin - 1,
            tp.topic,
            tp.partition,
        )
    return max(begin, archived)


async def _check_same_log(consumer: AIOKafkaConsumer, archive: Archive, url: str, tp: TopicPartition) -> None:
    """Raise ArchiveFailed if Kafka has another record at the offset of the first record of the newest segment."""
    segments = await asyncio.to_thread(archive.segments, tp.topic, tp.partition)
    kept = await asyncio.to_thread(next, archive.read(segments[-1]), None) if segments else None
    found = None if kept is None else await record_at(consumer, tp, kept.offset)
    if kept is not None and found is not None and _archived(found) != kept:
        raise ArchiveFailed(
            f"[archive] url {redacted(url)!r} has another record at offset {kept.offset} of {tp.topic}/{tp.partition} "
            f"than the topic: {_OTHER_LOG}"
        )


async def _segments(
    reader: RangeReader, tp: TopicPartition, end: int, most: int
) -> AsyncIterator[tuple[list[ArchivedRecord], int]]:
    """Yield (records, offset after them); the last segment ends at `end`."""
    records: list[ArchivedRecord] = []
    size = 0
    while True:
        try:
            record = await reader.next(tp.topic, tp.partition)
        except LogExpired:
            if records:
                yield records, records[-1].offset + 1
            raise
        if record is None:
            break
        if records and (len(records) == most or size > _SEGMENT_BYTES):
            yield records, record.offset
            records, size = [], 0
        records.append(_archived(record))
        size += len(raw_content(record))
    if records:
        yield records, end


def _archived(record: ConsumerRecord) -> ArchivedRecord:
    return ArchivedRecord(
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=raw_content(record),
        headers=tuple(record.headers),
    )
