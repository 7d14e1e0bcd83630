"""Merged partitions are read at the pace of the slowest, in bounded memory."""

import asyncio
import tracemalloc

import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition
from support.events import tick
from support.lab import Lab

from stream.errors import LogExpired
from stream.kafka.clients import admin_for, consumer_for
from stream.kafka.range_reader import RangeReader
from stream.wire import LogRange, encode

pytestmark = pytest.mark.kafka
LARGE, COUNT = 100_000, 300
BOUND = 5 * 2**20 + LARGE


@pytest.fixture
async def lab(apache_broker, tmp_path) -> Lab:
    return Lab(apache_broker.bootstrap, tmp_path)


def waiting(reader):
    return max(lane.bytes for lane in reader._lanes.values())


async def test_a_partition_that_is_ahead_buffers_at_most_its_bound_and_loses_no_record(lab):
    topic = await lab.topic(2)
    await lab.produce(topic, [b"%d" % number for number in range(COUNT)], 0)
    await lab.produce(topic, [b"%d" % number + bytes(LARGE) for number in range(COUNT)], 1)
    ranges = [LogRange(topic=topic, first={"0": 10, "1": 0}, last={"0": COUNT - 10, "1": COUNT})]
    async with consumer_for(lab.kafka.client_options()) as consumer:
        reader = RangeReader(consumer, ranges)
        small, highest = [], 0
        while (record := await reader.next(topic, 0)) is not None:
            small.append(int(record.value))
            await asyncio.sleep(0.005)
            highest = max(highest, waiting(reader))
        assert small == list(range(10, COUNT - 10))
        large = []
        while (record := await reader.next(topic, 1)) is not None:
            large.append(int(record.value.rstrip(b"\0")))
            highest = max(highest, waiting(reader))
        assert large == list(range(COUNT))
        assert 0 < highest <= BOUND, f"{highest} of {COUNT * LARGE} bytes were buffered"
        assert await reader.next(topic, 0) is None


async def test_a_partition_of_ticks_is_buffered_in_bounded_memory(lab):
    """The value of a tick is small, but its headers and the record object use memory too."""
    topic, record, count = await lab.topic(2), encode(tick(1.7e9)), 30_000
    async with lab.producer() as producer:
        for number in range(2):
            sent = [
                await producer.send(topic, record.value, partition=number, headers=list(record.headers))
                for _ in range(count)
            ]
            await asyncio.gather(*sent)
    ranges = [LogRange(topic=topic, first={"0": 0, "1": 0}, last={"0": count, "1": count})]
    async with consumer_for(lab.kafka.client_options()) as consumer:
        reader = RangeReader(consumer, ranges)
        tracemalloc.start()
        try:
            read = [[(await reader.next(topic, number)).offset for _ in range(count)] for number in range(2)]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert read == [list(range(count))] * 2
    assert peak < 16 * 2**20


async def test_a_log_that_expires_while_it_is_read_is_an_error(lab):
    topic = await lab.topic(1)
    await lab.produce(topic, [b"x"] * 10)
    async with admin_for(lab.kafka.client_options()) as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=5)})
    async with consumer_for(lab.kafka.client_options()) as consumer:
        reader = RangeReader(consumer, [LogRange(topic=topic, first={"0": 0}, last={"0": 10})])
        with pytest.raises(LogExpired):
            await reader.next(topic, 0)
