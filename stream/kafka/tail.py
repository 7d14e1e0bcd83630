"""Reads one topic from a given time on, across broker restarts, without a consumer group and without commits."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.errors import TopicMissing, no_kafka
from stream.kafka.clients import BROKER_ERRORS, consumer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader, partitions_of
from stream.kafka.time_ranges import produced_since
from stream.kafka.topic_checks import required_counts
from stream.wire import Event, readable

_LOG = logging.getLogger(__name__)
_CHUNK_RECORDS = 10_000
_CHUNK_BYTES = 32 * 1024 * 1024
_RETRY_SECONDS = 0.5

Offsets = dict[TopicPartition, int]


class Tail:
    """Reads a topic from the time `since`: seconds since the epoch, compared with the records' timestamps.

    With `follow`, it waits for more records at the end of the topic. Without `since`, it starts at the first record or,
    with `follow`, at the end of the topic. The records of the `lookback_seconds` before the start are also read;
    :meth:`is_lookback` is true for these records.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        *,
        since: float | None = None,
        follow: bool = True,
        lookback_seconds: float = 0.0,
    ) -> None:
        self._options = options
        self._topic = topic
        self._since = since
        self._follow = follow
        self._lookback_seconds = lookback_seconds
        self._positions: Offsets = {}
        self._begins: Offsets = {}
        self._newest_ms = 0
        self._interrupted = False

    def is_lookback(self, record: ConsumerRecord) -> bool:
        """Whether `record` is before the start; such records are read because of `lookback_seconds`."""
        return bool(record.offset < self._begins.get(TopicPartition(record.topic, record.partition), 0))

    async def records(self) -> AsyncGenerator[ConsumerRecord, None]:
        """Yield records. Existing records are read in chunks of bounded size; each chunk is sorted by timestamp.

        Raises TopicMissing if the topic does not exist, and BrokerError if no broker answers. With `follow`, these errors
        are not raised after the start; the read is retried, and a warning is logged when an outage begins and ends.
        """
        while True:
            try:
                async with consumer_for(self._options) as consumer, aclosing(self._session(consumer)) as session:
                    async for record in session:
                        yield record
            except (*READ_ERRORS, TopicMissing) as error:
                if not self._positions or not self._follow:
                    raise self._failure(error) from error
                if not self._interrupted:
                    _LOG.warning("%s: reading from Kafka failed (%s); retrying", self._topic, type(error).__name__)
                self._interrupted = True
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def events(
        self, wanted: Callable[[ConsumerRecord], bool] = lambda _: True
    ) -> AsyncGenerator[tuple[ConsumerRecord, Event], None]:
        """Yield the `wanted` records as :meth:`records` does, each with its event, without tombstones and events of later versions.

        Only the wanted records are decoded, which costs more than to read them. Not for weir.inference, whose content only ``stream/content.py`` decodes.
        """
        async with aclosing(self.records()) as records:
            async for record in records:
                if wanted(record) and (event := readable(record.value, record.headers)) is not None:
                    yield record, event

    def _failure(self, error: Exception) -> Exception:
        return no_kafka(self._options["bootstrap_servers"], error) if isinstance(error, BROKER_ERRORS) else error

    async def _session(self, consumer: AIOKafkaConsumer) -> AsyncGenerator[ConsumerRecord, None]:
        partitions = await self._partitions()
        ends: Offsets = await consumer.end_offsets(partitions)
        reader = LogReader(consumer, await self._start(consumer, partitions, ends))
        if self._interrupted:
            _LOG.warning("%s: reading continues after the last record", self._topic)
        self._interrupted = False
        backlog: list[ConsumerRecord] = []
        waiting_bytes = 0
        while not reader.reached(ends):
            read = [record for batch in (await reader.read()).values() for record in batch]
            backlog += read
            waiting_bytes += sum(max(record.serialized_value_size, 0) for record in read)
            if len(backlog) >= _CHUNK_RECORDS or waiting_bytes >= _CHUNK_BYTES:
                for record in self._taken(backlog):
                    yield record
                backlog, waiting_bytes = [], 0
        for record in self._taken(backlog):
            yield record
        while self._follow:
            for batch in (await reader.read()).values():
                for record in self._taken(batch):
                    yield record

    def _taken(self, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        """Return `records` sorted by timestamp, and store their offsets: after a broker error, the next consumer starts behind them."""
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            self._positions[partition] = max(self._positions[partition], record.offset + 1)
            self._newest_ms = max(self._newest_ms, record.timestamp)
        return sorted(records, key=lambda record: (record.timestamp, record.partition, record.offset))

    async def _partitions(self) -> list[TopicPartition]:
        return partitions_of(await required_counts(self._options, [self._topic]))

    async def _start(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], ends: Offsets) -> Offsets:
        """Return {partition: next offset to read}; an offset before the log's start is replaced by the start.

        An offset after the log's end belongs to a topic that was created again. It is replaced by the first offset of the new topic with a record
        that is as new as the last record that was read.
        """
        first: Offsets = await consumer.beginning_offsets(partitions)
        if not self._positions:
            self._begins = await self._beginning(consumer, first, ends)
            self._positions = await self._lookback(consumer, self._begins)
        lost = {partition: end for partition, end in ends.items() if self._positions.get(partition, 0) > end}
        found = await produced_since(consumer, self._newest_ms / 1000, lost) if lost else {}
        self._positions |= found
        self._begins |= found
        for partition in partitions:
            self._positions[partition] = max(self._positions.get(partition, 0), first[partition])
            self._begins[partition] = min(self._begins.get(partition, 0), ends[partition])
        return dict(self._positions)

    async def _beginning(self, consumer: AIOKafkaConsumer, first: Offsets, ends: Offsets) -> Offsets:
        if self._since is None:
            return dict(ends if self._follow else first)
        return await produced_since(consumer, self._since, ends)

    async def _lookback(self, consumer: AIOKafkaConsumer, begins: Offsets) -> Offsets:
        if not self._lookback_seconds:
            return dict(begins)
        since = time.time() if self._since is None else self._since
        found = await produced_since(consumer, since - self._lookback_seconds, begins)
        return {partition: min(found[partition], begin) for partition, begin in begins.items()}
