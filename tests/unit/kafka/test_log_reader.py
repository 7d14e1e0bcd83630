"""The log reader over a scripted consumer, without a broker."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError, TopicAuthorizationFailedError
from aiokafka.structs import ConsumerRecord, TopicPartition
from support.signal_log import watch_tick

from stream.errors import LogExpired, ReaderStalled
from stream.kafka import range_reader
from stream.kafka.log_reader import LogReader, record_at
from stream.kafka.range_reader import RangeReader, retained
from stream.wire import LogRange, encode

PARTITION = TopicPartition("t", 0)
TICK = encode(watch_tick(100.0))


class Consumer:
    """A consumer of one partition with the records `first` to `end` - 1.

    `script` has the results of reads: numbers of records, or errors to raise.
    """

    def __init__(self, end, *script, first=0):
        self.first, self.end, self.script, self.offset = first, end, list(script), 0

    def assign(self, partitions):
        assert partitions == [PARTITION]

    def seek(self, partition, offset):
        self.offset = offset

    def pause(self, partition):
        assert partition == PARTITION

    async def position(self, partition):
        return self.offset

    async def beginning_offsets(self, partitions):
        return {PARTITION: self.first}

    async def end_offsets(self, partitions):
        if isinstance(self.end, Exception):
            raise self.end
        return {PARTITION: self.end}

    async def getmany(self, **_):
        step = self.script.pop(0) if self.script else 0
        if isinstance(step, Exception):
            raise step
        if self.offset < self.first:
            raise OffsetOutOfRangeError({PARTITION: self.offset})
        first, self.offset = self.offset, self.offset + step
        records = [
            ConsumerRecord("t", 0, offset, 0, 0, None, TICK.value, None, 0, 1, TICK.headers)
            for offset in range(first, self.offset)
        ]
        return {PARTITION: records} if records else {}


@pytest.fixture
def now():
    return SimpleNamespace(seconds=0.0)


def reader_of(consumer, now):
    reader = LogReader(consumer, {PARTITION: 0})
    reader._clock = lambda: now.seconds
    reader._probed_at = 0.0
    return reader


async def read_for(reader, now, seconds):
    for _ in range(seconds):
        now.seconds += 1
        await reader.read()


async def test_a_reader_that_gets_nothing_while_the_log_has_more_is_stalled_after_30_s(now):
    reader = reader_of(Consumer(5), now)
    await read_for(reader, now, 31)
    with pytest.raises(ReaderStalled, match="Kafka has 5 more records, but none arrived for 30 s"):
        await read_for(reader, now, 2)


async def test_a_reader_that_gets_few_records_is_not_stalled(now):
    reader = reader_of(Consumer(100, *[1, 0, 0, 0, 0] * 20), now)
    await read_for(reader, now, 99)
    assert reader.positions == {PARTITION: 20}


async def test_a_reader_at_the_end_of_the_log_is_never_stalled(now):
    reader = reader_of(Consumer(5, 5), now)
    await read_for(reader, now, 100)
    assert reader.caught_up
    reader._consumer.end = 6
    await read_for(reader, now, 20)
    assert not reader.caught_up


async def test_a_reader_of_a_growing_log_is_caught_up_if_it_reached_the_end_of_the_previous_probe(now):
    consumer = Consumer(5, 5)
    reader = reader_of(consumer, now)
    await reader.read()
    await reader.probe()
    consumer.end = 8
    await reader.probe()
    assert reader.caught_up
    await reader.probe()
    assert not reader.caught_up


async def test_an_unreachable_broker_is_not_reported_as_a_stalled_reader(now):
    reader = reader_of(Consumer(TimeoutError()), now)
    with pytest.raises(TimeoutError):
        await read_for(reader, now, 2)


async def test_a_deleted_offset_raises_log_expired(now):
    with pytest.raises(
        LogExpired, match=r"read from a later time, or raise \[kafka\] retention_hours$"
    ):  # not only for commands
        await reader_of(Consumer(5, OffsetOutOfRangeError({PARTITION: 0})), now).read()


@pytest.mark.parametrize("method", ["read", "probe"])
async def test_offsets_without_a_record_are_skipped(now, method):
    reader = reader_of(Consumer(5, 3), now)
    await reader.read()
    reader._consumer.offset = 5
    assert not reader.reached({PARTITION: 5})
    await getattr(reader, method)()
    assert reader.reached({PARTITION: 5})


async def test_a_reader_has_reached_the_end_if_it_reached_the_end_of_every_partition(now):
    reader = reader_of(Consumer(5, 5), now)
    await reader.read()
    other = TopicPartition("t", 1)
    reader.positions[other] = 0
    assert not reader.reached({PARTITION: 5, other: 1})


@pytest.mark.parametrize(("offset", "found"), [(1, None), (2, 2), (3, None), (4, 4), (5, None)])
async def test_the_record_at_an_offset_is_read_if_the_log_contains_the_offset(offset, found):
    """The log has the offsets 2 to 4; offset 3 was compacted away."""
    consumer = Consumer(5, first=2)
    consumer.partitions_for_topic = lambda topic: {0}

    async def getone(partition):
        assert consumer.offset < consumer.end  # else a read waits for 15 s
        at = consumer.offset + (consumer.offset == 3)
        return ConsumerRecord("t", 0, at, 0, 0, None, TICK.value, None, 0, 1, TICK.headers)

    consumer.getone = getone
    record = await record_at(consumer, PARTITION, offset)
    assert (record and record.offset) == found


async def test_a_record_that_expires_during_the_read_is_not_found():
    consumer = Consumer(5)
    consumer.partitions_for_topic = lambda topic: {0}

    async def getone(partition):
        raise OffsetOutOfRangeError({partition: 0})

    consumer.getone = getone
    assert await record_at(consumer, PARTITION, 0) is None


@pytest.fixture
def ranged(now, monkeypatch):
    """Return a function that makes a reader of the records 0 and 1 from a script of a consumer.

    Each read takes 10 s.
    """

    def reader(*script, end=2):
        consumer = Consumer(end, *script)
        getmany = consumer.getmany

        async def slow(**options):
            now.seconds += 10
            return await getmany(**options)

        consumer.getmany = slow
        reader = RangeReader(consumer, [LogRange(topic="t", first={"0": 0}, last={"0": 2})])
        reader._clock = reader._reader._clock = lambda: now.seconds
        reader._reader._probed_at = 0.0
        return reader

    monkeypatch.setattr(range_reader, "_RETRY_SECONDS", 0.0)
    return reader


async def test_a_range_continues_if_the_broker_is_unreachable_for_less_than_30_s(ranged, now, caplog):
    away = [KafkaConnectionError()] * 3
    reader = ranged(*away, 1, *away, 1)
    assert (await reader.next("t", 0)).offset == 0
    now.seconds += 100  # the records that were read before are processed
    assert (await reader.next("t", 0)).offset == 1
    assert [record.message for record in caplog.records] == [
        "t: reading fails (KafkaConnectionError); retrying for 30 s"
    ] * 2


async def test_a_range_ends_with_an_error_if_the_broker_is_unreachable_for_30_s(ranged, now):
    reader = ranged(*[KafkaConnectionError()] * 4, 2)
    with pytest.raises(KafkaConnectionError):
        await reader.next("t", 0)
    assert now.seconds == 40


async def test_a_range_past_the_end_of_its_log_is_an_error_after_30_s(ranged, now):
    """The topic was created again, or a new leader reports an earlier end for a moment."""
    reader = ranged(1, end=1)
    assert (await reader.next("t", 0)).offset == 0
    with pytest.raises(
        LogExpired, match="t-0 ends at offset 1, and the range to read ends at 2: the topic was deleted"
    ):
        await reader.next("t", 0)
    assert now.seconds == 50
    late = ranged(1, 0, 0, 1, end=1)
    assert [(await late.next("t", 0)).offset for _ in range(2)] == [0, 1]


async def test_a_range_ends_immediately_if_the_broker_denies_access(ranged, now, caplog):
    with pytest.raises(TopicAuthorizationFailedError):
        await ranged(TopicAuthorizationFailedError("t"), 2).next("t", 0)
    assert (now.seconds, caplog.records) == (10, [])


async def test_the_retained_records_of_a_range_begin_after_the_records_that_kafka_deleted(monkeypatch):
    consumers = [Consumer(10, 4, first=6)]

    @asynccontextmanager
    async def consumer_for(_options):
        yield consumers.pop(0)

    monkeypatch.setattr(range_reader, "consumer_for", consumer_for)
    assert [offset async for offset, _ in retained({}, "t", 0, range(9), lambda: None)] == [6, 7, 8]


async def test_a_probe_that_is_cancelled_when_its_answer_arrives_is_cancelled(now):
    answer = asyncio.get_running_loop().create_future()
    consumer = Consumer(1)
    consumer.end_offsets = lambda _: answer
    probe = asyncio.create_task(reader_of(consumer, now).probe())
    await asyncio.sleep(0.01)
    answer.set_result({PARTITION: 1})
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
