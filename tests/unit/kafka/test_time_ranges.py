"""Ranges of event time over a scripted log, and the wait for a topic that cannot be read."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest
from aiokafka.structs import ConsumerRecord, TopicPartition
from support.signal_log import watch_tick

from stream.kafka.time_ranges import data_range, log_range
from stream.wire import encode

FIRST = 5
#: Second of production and of the event, of each record from offset 5 on.
RECORDS = [(10, 10), (20, 20), (30, 25), (40, 500), (89, 89), (90, 30), (91, 90.5), (92, 30)]
LOG, EMPTY = TopicPartition("t", 0), TopicPartition("t", 1)


class Consumer:
    """A consumer of a partition with `RECORDS`, and of a partition whose records all expired."""

    def assign(self, partitions):
        pass

    def seek(self, partition, offset):
        self.offset = offset

    async def position(self, partition):
        return self.offset

    async def beginning_offsets(self, partitions):
        return {LOG: FIRST, EMPTY: 7}

    async def end_offsets(self, partitions):
        return {LOG: FIRST + len(RECORDS), EMPTY: 7}

    async def offsets_for_times(self, wanted):
        assert all(milliseconds >= 0 for milliseconds in wanted.values())  # Kafka gives negative times other meanings
        later = (offset for offset, (time, _) in enumerate(RECORDS, FIRST) if time * 1000 >= wanted[LOG])
        return {LOG: next((SimpleNamespace(offset=offset) for offset in later), None), EMPTY: None}

    async def getmany(self, **_):
        first, self.offset = self.offset, FIRST + len(RECORDS)
        return {
            LOG: [
                ConsumerRecord(
                    "t", 0, offset, time * 1000, 0, None, b"x", None, 0, 1, encode(watch_tick(event)).headers
                )
                for offset, (time, event) in enumerate(RECORDS, FIRST)
                if offset >= first
            ]
        }


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, (5, 13)),
        (-1.0, None, (5, 13)),
        (20.0, None, (6, 13)),
        (100.0, None, (13, 13)),
        (15.0, 30.0, (6, 11)),  # the search passes the event of a fast clock, and ends at the event of second 90.5
    ],
)
async def test_a_range_has_the_events_up_to_its_end_that_are_at_most_a_minute_late(since, until, expected):
    found = await log_range(Consumer(), "t", 2, since, until)
    assert (found.first["0"], found.last["0"]) == expected
    assert (found.first["1"], found.last["1"]) == (7, 7)


async def test_a_wait_for_a_topic_that_cannot_be_read_reports_progress():
    """Without this progress, the watchdog would end the worker although its other agents work."""
    options, attempts = {"bootstrap_servers": "127.0.0.1:1"}, asyncio.Semaphore(0)
    waiting = asyncio.create_task(data_range(options, "weir.inference", 1, 0.0, 1.0, progress=attempts.release))
    async with asyncio.timeout(30):
        for _attempt in range(2):
            await attempts.acquire()
    assert not waiting.done()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
