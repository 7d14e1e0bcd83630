"""Events/s by number of score workers and partitions. A detector with a fixed delay limits each worker, not the CPU."""

import asyncio
import contextlib
import time
from pathlib import Path

from aiokafka.errors import GroupCoordinatorNotAvailableError
from support.backlog import append
from support.component_process import component_process
from support.kafka_log import fresh_topics
from support.lab import eventually
from support.score_stack import request

from stream.kafka.clients import admin_for, consumer_for
from stream.kafka.log_reader import partitions_of
from stream.settings import KafkaSettings

DELAY_SECONDS = 0.005
EVENTS_A_WORKER = 1_600
WORKERS, PARTITIONS = (1, 2, 4), (1, 2, 4, 8, 16)


async def rows(bootstrap, directory):
    for partitions in PARTITIONS:
        row = {"partitions": partitions}
        for workers in WORKERS:
            folder = directory / f"{partitions}-{workers}"
            row[f"{workers} worker{'s' * (workers > 1)}, events/s"] = await rate_of(
                bootstrap, folder, workers, partitions
            )
        yield row


async def rate_of(bootstrap, directory, workers, partitions):
    """Return verdicts per second, with all workers in the group before the first event."""
    kafka = await fresh_topics(bootstrap, partitions=partitions)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(workers):
            await stack.enter_async_context(score_worker(kafka, directory / str(number), DELAY_SECONDS))
        await joined(kafka, workers)
        return await rate(kafka, EVENTS_A_WORKER * min(workers, partitions))


def score_worker(kafka: KafkaSettings, directory: Path, delay: float):
    """Run a score worker in its own process, and kill it at the end."""
    directory.mkdir(parents=True)
    return component_process("score", directory / "data", kafka, seconds_each=delay, batch_events=32)


async def joined(kafka, workers):
    """Wait until the group is stable and has all workers."""
    async with admin_for(kafka.client_options()) as admin:

        async def stable():
            try:
                responses = await admin.describe_consumer_groups([f"{kafka.topic_prefix}score"])
            except GroupCoordinatorNotAvailableError:
                return False  # a new Apache Kafka has no coordinator until it has created its topic of offsets
            groups = [group for response in responses for group in response.groups]
            return any(group[2] == "Stable" and len(group[5]) == workers for group in groups)

        await eventually(stable, 120)


async def rate(kafka, events):
    """Append `events` events and return verdicts per second, measured from a tenth to nine tenths of them."""
    backlog = [request(f"r{n}", "hello", at=1_000.0 + n / 1000, owed=("pii",)) for n in range(events)]
    await append(kafka, kafka.names.inference, backlog, kafka.partitions)
    places = partitions_of({kafka.names.verdicts: kafka.partitions})
    times: dict[int, float] = {}
    async with consumer_for(kafka.client_options()) as consumer, asyncio.timeout(300):
        while not times or max(times) < events * 9 // 10:
            count = sum((await consumer.end_offsets(places)).values())
            if count >= events // 10:
                times.setdefault(count, time.perf_counter())
            await asyncio.sleep(0.02)
    first, last = min(times), max(times)
    return (last - first) / (times[last] - times[first])
