"""The archive after Kafka deleted its records: datasets are rebuilt from the archive, and DuckDB reads its files."""

import asyncio
import threading
from pathlib import Path

import duckdb
import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition
from support.dataset_log import LOOSE, MODEL, TENANT, WordScanner, approval, exchange, thumb
from support.kafka_log import fresh_topics, sender

from stream.archive.archiver import archive_log
from stream.archive.reader import ArchivedRangeReader, archived_range
from stream.archive.segments import Archive, ArchivedRecord
from stream.archive.settings import ArchiveSettings
from stream.errors import ArchiveFailed, LogExpired, TopicMissing
from stream.kafka.clients import admin_for, consumer_for
from stream.kafka.log_reader import partitions_of
from stream.kafka.time_ranges import log_range
from stream.loop.dataset.curate import curate
from stream.loop.dataset.log import read_exchanges, request_between
from stream.replay.offset_ranges import retained_log
from stream.wire import LogRange, format_time

pytestmark = pytest.mark.kafka


@pytest.fixture
async def kafka(apache_broker):
    return await fresh_topics(apache_broker.bootstrap)


async def send_reviewed(kafka, names):
    async with sender(kafka) as send:
        for partition in (0, 1):
            events = [event for name in names[partition::2] for event in (*exchange(name), approval(name))]
            await send.send(kafka.names.inference, *events, partition=partition)
        await send.send(kafka.names.feedback, *map(thumb, names))


async def expire(kafka, before):
    """Delete the records of inference before the offsets `before`, {partition: offset}."""
    async with admin_for(kafka.client_options()) as admin:
        await admin.delete_records(
            {
                TopicPartition(kafka.names.inference, number): RecordsToDelete(before_offset=offset)
                for number, offset in before.items()
            }
        )


async def digest_of(kafka, request, archive):
    join = await read_exchanges(kafka, request, archive=archive)
    return curate(join.exchanges(), LOOSE, "sft", WordScanner()).digest


async def test_an_archive_of_another_log_is_an_error(kafka, tmp_path):
    """The broker's volume was deleted: the new log begins at 0 again."""
    await send_reviewed(kafka, ["q1"])
    settings = ArchiveSettings(url=str(tmp_path))
    rows = [ArchivedRecord(offset=7, timestamp=1, key=None, value=b"{}", headers=())]
    Archive(settings.url).write(kafka.names.inference, 0, 8, rows)
    with pytest.raises(ArchiveFailed, match=r"inference/0 up to offset 8, but the topic ends at 3: .* another url"):
        await archive_log(kafka, settings)


async def test_an_archive_of_another_log_is_an_error_also_if_the_new_log_is_longer(kafka, tmp_path):
    await send_reviewed(kafka, ["q1"])
    settings = ArchiveSettings(url=str(tmp_path))
    rows = [ArchivedRecord(offset=0, timestamp=1, key=None, value=b"{}", headers=())]
    Archive(settings.url).write(kafka.names.inference, 0, 1, rows)
    with pytest.raises(ArchiveFailed, match=r"another record at offset 0 of .*inference/0 .* another url"):
        await archive_log(kafka, settings)
    assert await asyncio.to_thread(Archive(settings.url).end, kafka.names.inference, 0) == 1


async def test_a_missing_topic_is_an_error(kafka, tmp_path):
    """With a wrong topic prefix, the run fails. It must not report that no record is new."""
    other = kafka.model_copy(update={"topic_prefix": "prod."})
    with pytest.raises(
        TopicMissing, match=r"no topic prod\.feedback, .*; run `weir topics create`, or set .*TOPIC_PREFIX"
    ):
        await archive_log(other, ArchiveSettings(url=str(tmp_path)))


async def test_a_dataset_is_the_same_after_kafka_deleted_its_records(kafka, tmp_path):
    await send_reviewed(kafka, [f"q{number}" for number in range(20)])
    request = await request_between(kafka, TENANT, MODEL, None, None)
    before = await digest_of(kafka, request, None)
    settings = ArchiveSettings(url=str(tmp_path), segment_records=7)
    written = await archive_log(kafka, settings)
    assert {topic.removeprefix(kafka.topic_prefix): count for topic, count in written.items() if count} == {
        "inference": 60,
        "feedback": 20,
    }
    archive = Archive(settings.url)
    await expire(kafka, {0: 13, 1: 13})
    with pytest.raises(LogExpired, match="there is no archive"):
        await digest_of(kafka, request, None)
    assert await digest_of(kafka, request, archive) == before
    # The start of a range by time can be in the archive.
    whole = await request_between(kafka, TENANT, MODEL, 0.0, None, archive)
    assert whole.ranges[0].first == {"0": 0, "1": 0}
    async with consumer_for(kafka.client_options()) as consumer:
        topic = kafka.names.inference
        assert (await log_range(consumer, topic, 2, None, None)).first == {"0": 13, "1": 13}
        assert (await archived_range(consumer, topic, 2, 4e9, None, archive)).first == {"0": 30, "1": 30}


async def test_a_run_after_a_gap_names_the_lost_offsets(kafka, tmp_path, caplog):
    """The run logs nothing else, such as failed reads of the deleted records."""
    settings, topic = ArchiveSettings(url=str(tmp_path)), kafka.names.inference
    for first in (0, 3):
        async with sender(kafka) as send:
            for number in (0, 1):
                await send.send(topic, *(approval(f"q{row}") for row in range(first, first + 3)), partition=number)
        if not first:
            await archive_log(kafka, settings)
    await expire(kafka, {0: 5, 1: 3})
    assert (await archive_log(kafka, settings))[topic] == 4
    (warning,) = [one.getMessage() for one in caplog.records if one.name.startswith("stream.")]
    assert f"deleted the offsets 3 to 4 of {topic}-0 before they were archived" in warning


async def test_a_run_continues_if_kafka_deletes_records_meanwhile(kafka, tmp_path, caplog):
    topic, count = kafka.names.inference, 1_000
    async with sender(kafka) as send:
        await send.raw(topic, *[b"x" * 10_000] * count)
    done = []

    def delete_once(number, _total):
        if not done:
            thread = threading.Thread(target=lambda: asyncio.run(expire(kafka, {0: count - 50})))
            thread.start()
            thread.join()
        done.append(number)

    written = await archive_log(kafka, ArchiveSettings(url=str(tmp_path), segment_records=70), delete_once)
    archive = await asyncio.to_thread(Archive, str(tmp_path))
    offsets = [one.offset for segment in archive.segments(topic, 0) for one in archive.read(segment)]
    assert written[topic] == len(offsets) < count
    lost = len(offsets) - 50
    assert offsets == [*range(lost), *range(count - 50, count)]
    assert f"deleted the offsets {lost} to {count - 51} of {topic}-0 before they were archived" in caplog.text


async def test_the_log_is_complete_from_the_first_archived_record_on(kafka, tmp_path):
    """This is also true if Kafka's first record is later and the oldest file of the archive was deleted."""
    topic = kafka.names.inference
    async with sender(kafka) as send:
        await send.raw(topic, *[b"{}"] * 6)
    await archive_log(kafka, ArchiveSettings(url=str(tmp_path), segment_records=2))
    await expire(kafka, {0: 5})
    archive = Archive(str(tmp_path))
    oldest, second, _ = archive.segments(topic, 0)
    Path(oldest.path).unlink()
    async with consumer_for(kafka.client_options()) as consumer:
        log = await retained_log(consumer, topic, 2, archive)
    assert (log.expired, log.since) == ((0,), next(archive.read(second)).timestamp / 1000)


async def test_every_archived_record_is_read_in_order(kafka, tmp_path):
    """Read more records from the archive than the reader loads at once, then those in Kafka."""
    topic, count = kafka.names.inference, 1_100
    async with sender(kafka) as send:
        await send.send(topic, *(approval(f"q{number}") for number in range(count)))
    await archive_log(kafka, ArchiveSettings(url=str(tmp_path), segment_records=300))
    await expire(kafka, {0: count - 50})
    async with consumer_for(kafka.client_options()) as consumer:
        whole = LogRange(topic=topic, first={"0": 0}, last={"0": count})
        reader = await ArchivedRangeReader.open(consumer, [whole], Archive(str(tmp_path)))
        found = []
        while (record := await reader.next(topic, 0)) is not None:
            found.append(record.offset)
    assert found == list(range(count))


async def test_a_second_run_continues_and_a_gap_is_an_error(kafka, tmp_path):
    settings = ArchiveSettings(url=str(tmp_path))
    await send_reviewed(kafka, ["a", "b"])
    await archive_log(kafka, settings)
    assert set((await archive_log(kafka, settings)).values()) == {0}
    await send_reviewed(kafka, ["c", "d"])
    assert (await archive_log(kafka, settings))[kafka.names.inference] == 6
    archive = Archive(settings.url)
    assert [(s.first, s.last) for s in archive.segments(kafka.names.inference, 0)] == [(0, 3), (3, 6)]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.parquet")} == {0o600}
    await send_reviewed(kafka, ["e", "f", "g", "h"])
    await expire(kafka, {0: 9, 1: 9})
    async with consumer_for(kafka.client_options()) as consumer:
        item = await archived_range(consumer, kafka.names.inference, 2, None, None, archive)
        assert item.first == {"0": 0, "1": 0}
        with pytest.raises(
            LogExpired, match=r"deleted the offsets 6 to 8 of .*, and the archive does not contain them"
        ):
            await ArchivedRangeReader.open(consumer, [item], archive)
        # The deleted records can be newer than this time, just after the archive's newest record: the range includes them.
        segments = [archive.segments(kafka.names.inference, number)[-1] for number in (0, 1)]
        since = max(one.timestamp for segment in segments for one in archive.read(segment)) / 1000 + 0.0015
        item = await archived_range(consumer, kafka.names.inference, 2, since, None, archive)
        assert item.first == {"0": 6, "1": 6}
        item = await archived_range(consumer, kafka.names.inference, 2, since + 3600, None, archive)
        assert item.first == {"0": 12, "1": 12}, "no record is as new as this time"
        # The range begins when both partitions have records in Kafka, so it has no gap.
        kept = await consumer.offsets_for_times(dict.fromkeys(partitions_of({kafka.names.inference: 2}), 0))
        since = max(one.timestamp for one in kept.values()) / 1000
        item = await archived_range(consumer, kafka.names.inference, 2, since, None, archive)
        assert min(item.first.values()) >= 9
        await ArchivedRangeReader.open(consumer, [item], archive)
        # The error names only the gap, and the time after the gaps of all partitions. Kafka has deleted the records of that time too.
        await archive_log(kafka, settings)
        await expire(kafka, {0: 12, 1: 12})
        segments = [archive.segments(kafka.names.inference, number)[-1] for number in (0, 1)]
        after = max(next(archive.read(segment)).timestamp for segment in segments) / 1000
        item = await archived_range(consumer, kafka.names.inference, 2, None, None, archive)
        with pytest.raises(
            LogExpired,
            match=rf"offsets 6 to 8 of .*; choose a range from {format_time(after)} on, .* more, run `weir archive run`",
        ):
            await ArchivedRangeReader.open(consumer, [item], archive)
        item = await archived_range(consumer, kafka.names.inference, 2, after, None, archive)
        assert min(item.first.values()) >= 9
        await ArchivedRangeReader.open(consumer, [item], archive)


async def test_a_deleted_file_whose_records_kafka_has_is_no_gap(kafka, tmp_path):
    topic = kafka.names.inference
    for _ in range(6):
        async with sender(kafka) as send:
            await send.raw(topic, b"{}")
    await archive_log(kafka, ArchiveSettings(url=str(tmp_path), segment_records=2))
    archive = Archive(str(tmp_path))
    _, middle, newest = archive.segments(topic, 0)
    Path(middle.path).unlink()
    since = next(archive.read(newest)).timestamp / 1000
    async with consumer_for(kafka.client_options()) as consumer:
        in_kafka = await log_range(consumer, topic, 2, since, None)
        assert await archived_range(consumer, topic, 2, since, None, archive) == in_kafka


async def test_duckdb_reads_the_files(kafka, tmp_path):
    await send_reviewed(kafka, ["a", "b", "c"])
    await archive_log(kafka, ArchiveSettings(url=str(tmp_path)))
    found = duckdb.sql(
        f"select type, request_id, decode(value)->>'$.tenant' as tenant from '{tmp_path}/{kafka.names.inference}/*/*.parquet'"
        " where type = 'weir.inference.request.v2' order by all"
    ).fetchall()
    assert len(found) == 3
    assert {(kind, tenant) for kind, _, tenant in found} == {("weir.inference.request.v2", TENANT)}
