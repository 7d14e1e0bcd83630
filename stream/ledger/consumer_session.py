"""One consumer over everything that the ledger reads, from the book's offsets to the log's end and on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from stream.kafka.clients import consumer_for
from stream.kafka.topic_checks import partition_counts
from stream.ledger.errors import LedgerError, LedgerStalled
from stream.ledger.metrics import LedgerMetrics
from stream.ledger.store import LedgerStore, topics_read
from stream.settings import KafkaSettings

__all__ = ["LogReset", "Session"]

_BATCH_RECORDS = 2000
_POLL_MS = 200
_PROBE_SECONDS = 1.0
_PROBE_TIMEOUT_SECONDS = 5.0
_STALLED_SECONDS = 30.0
_TOPICS_SECONDS = 1.0
_NO_TOPICS = "waiting for topics"


class LogReset(LedgerError):
    """The log ends before the offset that the book has read: it is another log."""


class Session:
    """Reads until it is told to end or Kafka fails it.

    Parameters
    ----------
    kafka
        Settings with an address.
    metrics
        Counters of what was read.
    call
        Runs a function of the book on the book's thread.
    book
        Where everything goes.
    health
        Told while topics are missing or have another partition count.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        metrics: LedgerMetrics,
        call: Callable[..., Awaitable[Any]],
        book: LedgerStore,
        health: dict[str, Any],
    ) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._call = call
        self._book = book
        self._health = health
        self._ends: dict[TopicPartition, int] = {}
        self._moved_at = time.monotonic()
        self._moved_from = -1
        self.caught_up = False
        self.lag: dict[str, int] = {}

    async def run(self, *, until: Callable[[], bool], probed: Callable[[], Awaitable[None]]) -> None:
        """Read until `until()`; call `probed` after each look at the log's end.

        Raises
        ------
        LogReset
            The log is another one than the book was read from.
        LedgerStalled
            The log grows and nothing arrives.
        aiokafka.errors.KafkaError
            Kafka does not answer.
        """
        options = self._kafka.client_options()
        if not await self._topics_exist(options, until):
            return
        async with consumer_for(options, fetch_max_wait_ms=_POLL_MS) as consumer:
            await self._begin(consumer)
            probe = asyncio.create_task(self._probes(consumer, probed))
            try:
                while not until():
                    await self._read(consumer)
                    if probe.done():
                        probe.result()
            finally:
                probe.cancel()
                await asyncio.gather(probe, return_exceptions=True)

    async def _topics_exist(self, options: dict[str, Any], until: Callable[[], bool]) -> bool:
        kafka = self._kafka
        needed = topics_read(kafka.names, partitions=kafka.partitions, stream_partitions=kafka.stream_partitions)
        while not until():
            reason = self._misfit(needed, await partition_counts(options, needed))
            if not reason:
                self._health.pop(_NO_TOPICS, None)
                return True
            self._health[_NO_TOPICS] = reason
            await asyncio.sleep(_TOPICS_SECONDS)
        return False

    def _misfit(self, needed: dict[str, int], counts: dict[str, int]) -> str:
        missing = sorted(needed.keys() - counts.keys())
        if missing:
            return f"{', '.join(missing)} do not exist; run `weir topics create`"
        wrong = [f"{topic} has {counts[topic]} partitions" for topic, n in needed.items() if counts[topic] != n]
        if not wrong:
            return ""
        return (
            f"{'; '.join(wrong)}, but the settings say {self._kafka.partitions} (WEIR_KAFKA__PARTITIONS) and "
            f"{self._kafka.stream_partitions} (WEIR_KAFKA__STREAM_PARTITIONS); set them to what is there"
        )

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        kafka = self._kafka
        needed = topics_read(kafka.names, partitions=kafka.partitions, stream_partitions=kafka.stream_partitions)
        partitions = [TopicPartition(topic, index) for topic, count in needed.items() for index in range(count)]
        consumer.assign(partitions)
        first = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        read = await self._call(self._book.offsets)
        for partition in partitions:
            position = read.get((partition.topic, partition.partition))
            consumer.seek(partition, self._start(partition, position, first[partition], ends[partition]))
        self._ends = ends

    def _start(self, partition: TopicPartition, position: int | None, first: int, end: int) -> int:
        if position is None:
            return first
        if position > end:
            raise LogReset(
                f"{partition.topic}/{partition.partition} ends at {end}, but {position} was read; it is another log"
            )
        self._metrics.expired.inc(max(first - position, 0))
        return max(first, position)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
        if batches:
            self._metrics.read.inc(await self._call(self._book.apply, list(batches.values())))

    async def _probes(self, consumer: AIOKafkaConsumer, probed: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._look(consumer)
            await probed()
            await asyncio.sleep(_PROBE_SECONDS)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Compare positions with where the log ended a moment ago, so that a log that grows can be caught up with."""
        before = self._ends
        self._ends = await asyncio.wait_for(consumer.end_offsets(list(before)), _PROBE_TIMEOUT_SECONDS)
        positions = {partition: await consumer.position(partition) for partition in before}
        self.caught_up = all(positions[partition] >= end for partition, end in before.items())
        lag: dict[str, int] = {}
        for partition, end in self._ends.items():
            lag[partition.topic] = lag.get(partition.topic, 0) + max(end - positions[partition], 0)
        self.lag = lag
        for topic, records in lag.items():
            self._metrics.lag.labels(topic).set(records)
        self._watch_progress(sum(positions.values()))

    def _watch_progress(self, position: int) -> None:
        now = time.monotonic()
        if self.caught_up or position != self._moved_from:
            self._moved_at, self._moved_from = now, position
        elif now - self._moved_at > _STALLED_SECONDS:
            raise LedgerStalled(
                f"nothing was read for {now - self._moved_at:.0f} s while {sum(self.lag.values())} records wait; "
                f"the bound is {_STALLED_SECONDS:.0f} s"
            )
