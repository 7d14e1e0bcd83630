"""Reads partitions from given offsets on, and detects the end of the log, expired records and a stalled consumer."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.errors import LogExpired, ReaderStalled
from stream.kafka.clients import BROKER_ERRORS
from stream.kafka.stall import StallDetector
from stream.kafka.topic_checks import check_topics

#: The errors that end a reader's session; a new session with a new consumer resolves them.
READ_ERRORS = (LogExpired, ReaderStalled, *BROKER_ERRORS)
_POLL_MS = 500
_MAX_RECORDS = 1000
_PROBE_SECONDS = 2.0
_PROBE_TIMEOUT_SECONDS = 5.0
_STALL_SECONDS = 30.0
_RECORD_SECONDS = 15.0

Records = Mapping[TopicPartition, list[ConsumerRecord]]


class LogReader:
    """Reads partitions of a log from given positions, with a started consumer that has no group; it commits nothing.

    `positions` is {partition: next offset to read}. Offsets without a record (compacted away, or a
    transaction's marker) do not stop the reader: its positions move past them. :meth:`probe` updates `ends`, {partition: end of the log}, and `caught_up`. `caught_up` is
    true if, at the last probe, the reader had reached the `ends` of the previous probe. So `caught_up` can become true
    while the log grows.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        positions: Mapping[TopicPartition, int],
        *,
        max_records: int = _MAX_RECORDS,
        poll_ms: int = _POLL_MS,
    ) -> None:
        self._consumer = consumer
        self._max_records = max_records
        self._poll_ms = poll_ms
        self._clock = asyncio.get_running_loop().time
        self._probed_at = self._clock()
        self._stall = StallDetector(_STALL_SECONDS)
        self.positions = dict(positions)
        self.ends: dict[TopicPartition, int] = {}
        self.caught_up = False
        consumer.assign(list(positions))
        for partition, offset in positions.items():
            consumer.seek(partition, offset)

    async def read(self) -> Records:
        """Return the next records by partition, or {} if none arrives within 0.5 s.

        If none arrives and the last probe is at least 2 s old, this method calls :meth:`probe`.

        Raises LogExpired if an offset to read was deleted, and ReaderStalled if the log contains more records and none
        arrives for 30 s. Raises KafkaError, OSError or TimeoutError if the broker does not answer.
        """
        try:
            records: Records = await self._consumer.getmany(timeout_ms=self._poll_ms, max_records=self._max_records)
        except OffsetOutOfRangeError as error:
            raise LogExpired(
                "Kafka deleted records before they were read; read from a later time, or raise [kafka] retention_hours"
            ) from error
        for partition, batch in records.items():
            self.positions[partition] = batch[-1].offset + 1
        if not records:
            await self._skip_gaps()
            if self._clock() - self._probed_at >= _PROBE_SECONDS:
                await self.probe()
        return records

    async def probe(self) -> None:
        """Request the present end offsets of the log; raises as :meth:`read` does."""
        before = self.ends
        async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
            self.ends = await self._consumer.end_offsets(list(self.positions))
        self._probed_at = self._clock()
        await self._skip_gaps()
        self.caught_up = self.reached(before or self.ends)
        work = not self.reached(self.ends)
        if self._stall.observe(now=self._probed_at, progress=sum(self.positions.values()), work=work):
            waiting = sum(max(0, end - self.positions[partition]) for partition, end in self.ends.items())
            raise ReaderStalled(
                f"Kafka has {waiting} more records, but none arrived for {_STALL_SECONDS:.0f} s; check the broker and its log"
            )

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether all records before `ends` were read."""
        return all(self.positions[partition] >= end for partition, end in ends.items())

    async def _skip_gaps(self) -> None:
        for partition, position in self.positions.items():
            self.positions[partition] = max(position, await self._consumer.position(partition))


def partitions_of(counts: Mapping[str, int]) -> list[TopicPartition]:
    """Return every partition of the topics in `counts`, {topic: number of partitions}."""
    return [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]


async def record_at(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> ConsumerRecord | None:
    """Return the record at `offset`, or None if the log does not contain it.

    Raises TopicMissing if the topic does not exist, TimeoutError after 15 s, and the errors of the broker.
    """
    if consumer.partitions_for_topic(partition.topic) is None:  # else a request for its offsets ends with a timeout
        check_topics({partition.topic: 0}, dict.fromkeys(await consumer.topics(), 0))
    first = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    if not first <= offset < end:
        return None
    # Without a pause before seek: a partition without a position is an error of the next read.
    consumer.assign([partition])
    consumer.seek(partition, offset)
    try:
        async with asyncio.timeout(_RECORD_SECONDS):
            record = await consumer.getone(partition)
    except OffsetOutOfRangeError:
        return None  # it expired after the offsets were read
    return record if record.offset == offset else None
