"""Read one topic from a moment on, and go on over broker restarts; no consumer group, nothing is committed."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.errors import no_kafka
from stream.kafka.client import KAFKA_TROUBLE, consumer_for, partition_counts
from weir.errors import NotFoundError

__all__ = ["Tail"]

_LOG = logging.getLogger(__name__)
_POLL_MS = 500
_CHUNK_RECORDS = 10_000
_CHUNK_BYTES = 32 * 1024 * 1024
_PROBE_SECONDS = 2.0
_PROBE_TIMEOUT_SECONDS = 5.0
_STALLED_SECONDS = 15.0
_RETRY_SECONDS = 0.5


class _Lost(Exception):
    pass


class Tail:
    """A topic to be read.

    Parameters
    ----------
    options
        Connection arguments of aiokafka's clients.
    topic
        Its full name.
    since
        Where to begin, seconds since the epoch by the records' timestamps; None: the end when following, else the beginning.
    follow
        Whether to go on at the log's end.
    lead_seconds
        Also yield what is so much older than the beginning, for what it says of later records; :meth:`leads` tells them apart.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        *,
        since: float | None = None,
        follow: bool = True,
        lead_seconds: float = 0.0,
    ) -> None:
        self._options = options
        self._topic = topic
        self._since = since
        self._follow = follow
        self._lead_seconds = lead_seconds
        self._positions: dict[TopicPartition, int] = {}
        self._begins: dict[TopicPartition, int] = {}

    def leads(self, record: ConsumerRecord) -> bool:
        """Tell whether `record` lies before the beginning and was read only for what it says of later ones."""
        return bool(record.offset < self._begins.get(TopicPartition(record.topic, record.partition), 0))

    async def records(self) -> AsyncGenerator[ConsumerRecord, None]:
        """Yield records, what was there at the start in the order of their timestamps.

        Raises
        ------
        BrokerError
            No Kafka answers at the start; later it is waited for.
        NotFoundError
            There is no such topic.
        """
        while True:
            try:
                async with consumer_for(self._options) as consumer, aclosing(self._session(consumer)) as session:
                    async for record in session:
                        yield record
            except (_Lost, *KAFKA_TROUBLE) as error:
                if not self._positions or not self._follow:
                    raise no_kafka(self._options["bootstrap_servers"]) from error
                _LOG.info("%s: %s; trying again", self._topic, type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _session(self, consumer: AIOKafkaConsumer) -> AsyncGenerator[ConsumerRecord, None]:
        ends = await self._place(consumer)
        backlog: list[ConsumerRecord] = []
        held_bytes = 0
        while any(self._positions[partition] < end for partition, end in ends.items()):
            read = await self._read(consumer)
            if not read and not await self._alive(consumer):
                raise _Lost
            backlog += read
            held_bytes += sum(max(record.serialized_value_size, 0) for record in read)
            if len(backlog) >= _CHUNK_RECORDS or held_bytes >= _CHUNK_BYTES:
                for record in _in_time(backlog):
                    yield record
                backlog, held_bytes = [], 0
        for record in _in_time(backlog):
            yield record
        if self._follow:
            async with aclosing(self._on(consumer)) as live:
                async for record in live:
                    yield record

    async def _on(self, consumer: AIOKafkaConsumer) -> AsyncGenerator[ConsumerRecord, None]:
        """Yield what arrives; give the consumer up where Kafka is away or nothing comes although the log grew."""
        probed = moved = time.monotonic()
        while True:
            records = await self._read(consumer)
            for record in records:
                yield record
            now = time.monotonic()
            if records:
                moved = probed = now
            elif now - probed > _PROBE_SECONDS:
                ends = await self._ends(consumer)
                probed = time.monotonic()
                if all(self._positions[partition] >= end for partition, end in ends.items()):
                    moved = probed
                elif probed - moved > _STALLED_SECONDS:
                    raise _Lost

    async def _alive(self, consumer: AIOKafkaConsumer) -> bool:
        """Tell whether Kafka answers; where it does, note what a compacted or expired log no longer has."""
        for partition, end in (await self._ends(consumer)).items():
            if await consumer.position(partition) >= end:
                self._positions[partition] = max(self._positions[partition], end)
        return True

    async def _ends(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        asked = consumer.end_offsets(list(self._positions))
        ends: dict[TopicPartition, int] = await asyncio.wait_for(asked, _PROBE_TIMEOUT_SECONDS)
        return ends

    async def _read(self, consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
        try:
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=1000)
        except OffsetOutOfRangeError as error:
            raise _Lost from error
        records = [record for batch in batches.values() for record in batch]
        for record in records:
            self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
        return records

    async def _place(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Assign every partition at its position, and return where the log ends."""
        count = (await partition_counts(self._options, [self._topic])).get(self._topic, 0)
        if not count:
            raise NotFoundError(
                f"no topic {self._topic!r} at {self._options['bootstrap_servers']}; make it with `weir topics create`, or "
                "set WEIR_KAFKA__TOPIC_PREFIX"
            )
        partitions = [TopicPartition(self._topic, index) for index in range(count)]
        consumer.assign(partitions)
        first = await consumer.beginning_offsets(partitions)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        if not self._positions:
            self._begins = await self._start(consumer, first, ends)
            self._positions = await self._lead(consumer, self._begins)
        for partition in partitions:
            # The log may have expired, or been lost and begun anew, meanwhile.
            position = min(max(self._positions.get(partition, 0), first[partition]), ends[partition])
            self._positions[partition] = position
            self._begins[partition] = min(self._begins.get(partition, 0), ends[partition])
            consumer.seek(partition, position)
        return ends

    async def _start(
        self, consumer: AIOKafkaConsumer, first: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        if self._since is None:
            return dict(ends if self._follow else first)
        return await _at(consumer, self._since, ends)

    async def _lead(self, consumer: AIOKafkaConsumer, begins: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        if not self._lead_seconds:
            return dict(begins)
        moment = (time.time() if self._since is None else self._since) - self._lead_seconds
        found = await _at(consumer, max(moment, 0.0), begins)
        return {partition: min(found[partition], begin) for partition, begin in begins.items()}


async def _at(
    consumer: AIOKafkaConsumer, moment: float, otherwise: dict[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Return the first offsets that were produced at `moment` or later, or `otherwise`."""
    found = await consumer.offsets_for_times(dict.fromkeys(otherwise, int(moment * 1000)))
    return {
        partition: place.offset if (place := found.get(partition)) is not None else offset
        for partition, offset in otherwise.items()
    }


def _in_time(records: list[ConsumerRecord]) -> list[ConsumerRecord]:
    return sorted(records, key=lambda record: (record.timestamp, record.partition, record.offset))
