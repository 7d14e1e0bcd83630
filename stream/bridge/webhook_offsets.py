"""The progress of one webhook: the offsets of its consumer group.

Kafka deletes the offsets of a group that does not commit for a week (``offsets.retention.minutes``), and a receiver can
be unavailable for longer. So the bridge commits after each delivery, and every hour without a delivery; otherwise a
restart would begin at the end of the log.
"""

import logging
import time

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from prometheus_client import Counter

_LOG = logging.getLogger(__name__)
_RECOMMIT_SECONDS = 3600.0


class WebhookOffsets:
    """Reads and commits the offsets of one `consumer`, which belongs to the webhook's group.

    `missed` counts records that were deleted before delivery: compaction keeps only the newest record of an alert.
    """

    def __init__(
        self, name: str, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], missed: Counter
    ) -> None:
        self._name = name
        self._consumer = consumer
        self._partitions = partitions
        self._missed = missed
        self._next: dict[TopicPartition, int] = {}
        self._recommit_at = 0.0

    async def start(self) -> dict[TopicPartition, int]:
        """Return {partition: first offset to read}, and commit these offsets.

        The first offset is the committed offset, or the end of the log if the group has committed no offset.
        """
        ends = await self._consumer.end_offsets(self._partitions)
        for partition, end in ends.items():
            committed = await self._consumer.committed(partition)
            if committed is None:
                _LOG.warning(
                    "webhook %s starts at the end of partition %d: it is new, or its offsets have expired",
                    self._name,
                    partition.partition,
                )
            # A committed offset after the end belongs to a topic that was deleted and recreated since.
            self._next[partition] = end if committed is None else committed if committed <= end else 0
        await self._commit()
        first = await self._consumer.beginning_offsets(self._partitions)
        return {partition: max(offset, first[partition]) for partition, offset in self._next.items()}

    async def delivered(self, partition: TopicPartition, offset: int) -> None:
        """Commit all records up to `offset`."""
        self.skipped(partition, offset)
        await self._commit()

    def skipped(self, partition: TopicPartition, offset: int) -> None:
        """Advance past the record at `offset`; the next commit includes this record."""
        self._missed.inc(max(offset - self._next[partition], 0))
        self._next[partition] = offset + 1

    async def keep(self) -> None:
        """Commit the same offsets again if the last commit is an hour old."""
        if time.monotonic() > self._recommit_at:
            await self._commit()

    async def _commit(self) -> None:
        await self._consumer.commit(self._next)
        self._recommit_at = time.monotonic() + _RECOMMIT_SECONDS
