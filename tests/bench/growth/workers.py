"""Events a second with more score workers and more partitions, where a detector of fixed delay bounds each, and cores do not."""

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from support.backlog import append
from support.kafka_log import fresh_topics
from support.score_stack import request

from stream.kafka.clients import consumer_for
from stream.settings import KafkaSettings

_TESTS = Path(__file__).parents[2]
DELAY_SECONDS = 0.005
EVENTS_A_WORKER = 1_600
WORKERS, PARTITIONS = (1, 2, 4), (1, 2, 4, 8, 16)
_READY_SECONDS = 120.0


async def rows(bootstrap, directory, say):
    found = []
    for partitions in PARTITIONS:
        row = {"partitions": partitions}
        for workers in WORKERS:
            rate = await rate_of(
                bootstrap, directory / f"{partitions}-{workers}", workers=workers, partitions=partitions
            )
            row[f"{workers} worker{'s' * (workers > 1)}, events/s"] = rate
            say(f"  {partitions} partitions, {workers} workers: {rate:.0f} events/s")
        found.append(row)
    return found


async def rate_of(bootstrap, directory, *, workers, partitions, delay=DELAY_SECONDS, events=None):
    """Return verdicts a second, between a tenth and nine tenths of them, with every worker in its group before the first event."""
    kafka = await fresh_topics(bootstrap, partitions=partitions)
    events = events or EVENTS_A_WORKER * min(workers, partitions)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(workers):
            await stack.enter_async_context(score_worker(kafka, directory / str(number), delay))
        await _joined(kafka, workers)
        backlog = [request(f"r{n}", "hello", at=100.0 + n / 1000, owed=("pii",)) for n in range(events)]
        await append(kafka, kafka.names.inference, backlog, partitions)
        return await rate(kafka, kafka.names.verdicts, partitions, events)


@contextlib.asynccontextmanager
async def score_worker(kafka: KafkaSettings, directory: Path, delay: float):
    """A score worker as a process of its own; killed at the end."""
    directory.mkdir(parents=True)
    given = {
        "kafka": kafka.model_dump(mode="json", exclude={"sasl_password"}),
        "directory": str(directory),
        "delay": delay,
    }
    with (directory / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.growth.worker",
            json.dumps(given),
            env=os.environ | {"PYTHONPATH": f"{_TESTS}:{_TESTS.parent}"},
            stderr=log,
            stdout=log,
        )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def _joined(kafka, workers):
    """Wait until the group is stable with every worker in it."""
    admin = AIOKafkaAdminClient(**kafka.client_options())
    await admin.start()
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            with contextlib.suppress(KafkaError):
                for response in await admin.describe_consumer_groups([f"{kafka.topic_prefix}score"]):
                    for group in response.groups:
                        if group[2] == "Stable" and len(group[5]) == workers:
                            return
            assert time.monotonic() < deadline, f"no stable group of {workers} within {_READY_SECONDS} s"
            await asyncio.sleep(0.2)
    finally:
        await admin.close()


async def rate(kafka, topic, partitions, events, base=0):
    """Return records a second of `topic`, from a tenth to nine tenths of `events` beyond `base`."""
    tps = [TopicPartition(topic, number) for number in range(partitions)]
    low, high = base + events // 10, base + events * 9 // 10
    began = None
    deadline = time.monotonic() + 300
    async with consumer_for(kafka.client_options()) as consumer:
        while True:
            count = sum((await consumer.end_offsets(tps)).values())
            now = time.perf_counter()
            if began is None and count >= low:
                began = (now, count)
            if began is not None and count >= high:
                return (count - began[1]) / (now - began[0])
            assert time.monotonic() < deadline, f"{count} of {high} within 300 s"
            await asyncio.sleep(0.02)
