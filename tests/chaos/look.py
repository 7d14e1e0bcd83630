"""Read Kafka for the lab: committed offsets, end offsets and new records."""

import asyncio
import time

from stream.kafka.admin import group_offsets
from stream.kafka.clients import BROKER_ERRORS, admin_for, consumer_for, producer_for
from stream.kafka.log_reader import LogReader, partitions_of

Offsets = dict[tuple[str, int], int]


class Look:
    """Reads and writes Kafka in the event loop of `portal`; `options` are aiokafka's connection arguments."""

    def __init__(self, portal, options) -> None:
        self._portal = portal
        self._options = options
        self._positions = {}

    def committed(self, group, seconds=30.0):
        """Return the committed offsets of `group`; retry while the broker does not answer."""
        return self._ask_until(seconds, self._committed, group)

    def ends(self, topics, seconds=30.0):
        """Return the end offsets of `topics` (name to partitions); retry while the broker does not answer."""
        return self._ask_until(seconds, self._ends, partitions_of(topics))

    def forget(self):
        """Read every topic from its beginning again, after the log was replaced."""
        self._positions.clear()

    def topics(self):
        """Return the names of the topics."""
        return self._ask(60.0, self._topics)

    def fresh(self, topics):
        """Return the records of `topics` since the last call, in order within each partition."""
        return self._ask(120.0, self._fresh, partitions_of(topics))

    def produce(self, records):
        """Append records: (topic, partition, key, value, headers)."""
        self._ask(60.0, self._produce, list(records))

    def _ask(self, seconds, question, *arguments):
        async def answer():
            async with asyncio.timeout(seconds):
                return await question(*arguments)

        return self._portal.call(answer)

    def _ask_until(self, seconds, question, *arguments):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self._ask(max(1.0, deadline - time.monotonic()), question, *arguments)
            except BROKER_ERRORS:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    async def _committed(self, group):
        found = await group_offsets(self._options, [group])
        return {tuple(partition): offset for partition, offset in found[group].items()}

    async def _topics(self):
        async with admin_for(self._options) as admin:
            return set(await admin.list_topics())

    async def _ends(self, partitions):
        async with consumer_for(self._options) as consumer:
            return {tuple(place): end for place, end in (await consumer.end_offsets(partitions)).items()}

    async def _fresh(self, partitions):
        records = []
        async with consumer_for(self._options) as consumer:
            ends = await consumer.end_offsets(partitions)
            reader = LogReader(consumer, dict.fromkeys(partitions, 0) | self._positions, poll_ms=200)
            while not reader.reached(ends):
                for batch in (await reader.read()).values():
                    records += batch
            self._positions = reader.positions
        return records

    async def _produce(self, records):
        async with producer_for(self._options, max_request_size=8 * 1024 * 1024) as producer:
            for topic, partition, key, value, headers in records:
                await producer.send(topic, value, key=key, partition=partition, headers=headers)
            await producer.flush()
