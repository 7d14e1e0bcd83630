"""The tail of a topic over scripted consumers, without a broker."""

from contextlib import aclosing, asynccontextmanager
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.errors import BrokerError
from stream.kafka import tail

PARTITION = TopicPartition("t", 0)


class Consumer:
    """A consumer of one partition, whose record n was produced at second `times[n]`; the log ends at `end` when the consumer starts.

    `script` has the results of reads: numbers of records, or errors to raise.
    """

    def __init__(self, times, *script, end=None):
        self.times, self.script, self.offset = times, list(script), 0
        self.end = len(times) if end is None else end

    def assign(self, partitions):
        assert partitions == [PARTITION]

    def seek(self, partition, offset):
        self.offset = offset

    async def position(self, partition):
        return self.offset

    async def beginning_offsets(self, partitions):
        return {PARTITION: 0}

    async def end_offsets(self, partitions):
        return {PARTITION: self.end}

    async def offsets_for_times(self, wanted):
        later = (offset for offset, time in enumerate(self.times) if time * 1000 >= wanted[PARTITION])
        offset = next(later, None)
        return {PARTITION: None if offset is None else SimpleNamespace(offset=offset)}

    async def getmany(self, **_):
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        first, self.offset = self.offset, self.offset + step
        records = [
            ConsumerRecord("t", 0, offset, self.times[offset] * 1000, 0, None, b"x", None, 0, 1, ())
            for offset in range(first, self.offset)
        ]
        return {PARTITION: records}


@pytest.fixture
def read(monkeypatch):
    """Return a function that reads the topic from one consumer after the other: (offset, whether it is lookback) of each record."""

    async def partition_counts(_options, topics):
        return dict.fromkeys(topics, 1)

    async def read(*consumers, most=100, **options):
        waiting = iter(consumers)

        @asynccontextmanager
        async def consumer_for(_options):
            yield next(waiting)

        monkeypatch.setattr(tail, "consumer_for", consumer_for)
        reader, found = tail.Tail({"bootstrap_servers": "k:1"}, "t", **options), []
        async with aclosing(reader.records()) as records:
            async for record in records:
                found.append((record.offset, reader.is_lookback(record)))
                if len(found) == most:
                    break
        return found

    monkeypatch.setattr(tail, "required_counts", partition_counts)
    monkeypatch.setattr(tail, "_RETRY_SECONDS", 0.0)
    return read


async def test_a_tail_that_loses_the_connection_within_its_backlog_loses_no_record(read):
    found = await read(Consumer(range(4), 2, KafkaConnectionError()), Consumer(range(5), 4, 1), since=0.0, most=5)
    assert found == [(offset, False) for offset in range(5)]


async def test_without_follow_a_lost_connection_is_an_error(read):
    with pytest.raises(BrokerError, match="no Kafka answers"):
        await read(Consumer(range(4), KafkaConnectionError()), Consumer(range(4), 4), follow=False)


async def test_each_record_of_a_backlog_of_several_chunks_is_yielded_once(read, monkeypatch):
    monkeypatch.setattr(tail, "_CHUNK_RECORDS", 3)
    found = await read(Consumer(range(8), 3, 3, 2), follow=False)
    assert [offset for offset, _ in found] == list(range(8))


async def test_a_start_after_the_last_record_yields_nothing(read):
    assert await read(Consumer([10, 20, 30], 3), since=40.0, follow=False) == []


async def test_the_lookback_is_before_the_start(read):
    found = await read(Consumer([10, 60, 90, 110], 3), since=100.0, lookback_seconds=50.0, follow=False)
    assert found == [(1, True), (2, True), (3, False)]


async def test_the_records_of_a_topic_that_was_created_again_are_no_lookback(read):
    old = Consumer([1, 2, 3, 4, 5], 1, KafkaConnectionError(), end=4)
    assert await read(old, Consumer([6, 7], 2), most=3) == [(4, False), (0, False), (1, False)]
