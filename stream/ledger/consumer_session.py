"""One consumer of all topics that the ledger reads; it starts at the stored offsets and follows the log."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from stream.errors import LedgerError
from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import LogReader, partitions_of, record_at
from stream.kafka.topic_checks import check_topics, partition_counts
from stream.ledger.metrics import LedgerMetrics
from stream.ledger.store import LedgerStore, topics_read
from stream.settings import KafkaSettings

_BATCH_RECORDS = 2000
_POLL_MS = 200
_PROBE_SECONDS = 1.0


class LogReset(LedgerError):
    """The log is not the one that the ledger has read, so the topic was deleted or recreated.

    It ends before an offset that was read, or has another record at the offset of an event.
    """


class Session:
    """Reads until a condition is true or Kafka fails.

    `call` runs a function on the store's thread.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        metrics: LedgerMetrics,
        call: Callable[..., Awaitable[Any]],
        store: LedgerStore,
    ) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._call = call
        self._store = store
        self._topics = topics_read(kafka.names, partitions=kafka.partitions, stream_partitions=kafka.stream_partitions)
        self.caught_up = False
        self.lag: dict[str, int] = {}

    async def run(
        self, *, until: Callable[[], bool], topics_checked: Callable[[], None], probed: Callable[[], Awaitable[None]]
    ) -> None:
        """Read until `until()` is true; call `probed` after each probe of the log's end.

        `topics_checked` is called once, when the topics have the partitions of the settings.

        Raises TopicMissing and TopicMismatch, LogReset if the stored offsets are from a topic that was deleted or recreated, and the errors of
        :meth:`LogReader.read`.
        """
        options = self._kafka.client_options()
        check_topics(self._topics, await partition_counts(options, self._topics))
        await self._call(topics_checked)
        async with consumer_for(options, fetch_max_wait_ms=_POLL_MS) as consumer:
            offsets = await self._start_offsets(consumer)
            reader = LogReader(consumer, offsets, max_records=_BATCH_RECORDS, poll_ms=_POLL_MS)
            probe = asyncio.create_task(self._probes(reader, probed))
            try:
                while not until():
                    batches = await reader.read()
                    if batches:
                        self._metrics.read.inc(await self._call(self._store.apply, list(batches.values())))
                    if probe.done():
                        probe.result()
            finally:
                probe.cancel()
                await asyncio.gather(probe, return_exceptions=True)

    async def _start_offsets(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        partitions = partitions_of(self._topics)
        first = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        read = await self._call(self._store.offsets)
        for partition in partitions:
            if partition.topic == self._kafka.names.inference:
                await self._check_same_log(consumer, partition)
        return {
            partition: self._start(partition, read.get(tuple(partition)), first[partition], ends[partition])
            for partition in partitions
        }

    async def _check_same_log(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Raise LogReset if another record is at the offset of an event: a new log can be longer than the old one was."""
        known = await self._call(self._store.newest_event, partition.topic, partition.partition)
        record = None if known is None else await record_at(consumer, partition, known[1])
        if record is not None and dict(record.headers).get("ce_id") != known[0].encode():
            raise LogReset(
                f"{partition.topic}/{partition.partition} has another record at offset {known[1]} than the ledger; it is another log"
            )

    def _start(self, partition: TopicPartition, position: int | None, first: int, end: int) -> int:
        if position is None:
            return first
        if position > end:
            raise LogReset(
                f"{partition.topic}/{partition.partition} ends at {end}, but {position} was read: the topic was created again"
            )
        self._metrics.expired.inc(max(first - position, 0))
        return max(first, position)

    async def _probes(self, reader: LogReader, probed: Callable[[], Awaitable[None]]) -> None:
        while True:
            await reader.probe()
            self._show(reader)
            await probed()
            await asyncio.sleep(_PROBE_SECONDS)

    def _show(self, reader: LogReader) -> None:
        self.caught_up = reader.caught_up
        lag: dict[str, int] = {}
        for partition, end in reader.ends.items():
            lag[partition.topic] = lag.get(partition.topic, 0) + max(end - reader.positions[partition], 0)
        self.lag = lag
        for topic, records in lag.items():
            self._metrics.lag.labels(topic).set(records)
