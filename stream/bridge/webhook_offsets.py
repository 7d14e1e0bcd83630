"""How far one webhook has been told, kept as the offsets of its consumer group.

Kafka forgets offsets that nobody commits for a week (``offsets.retention.minutes``), and a receiver may be away for longer. So they are
committed behind each delivery, and again every hour whatever happens in between; else a restart would begin at the log's end.
"""

import logging
import time

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from prometheus_client import Counter

__all__ = ["Offsets"]

_LOG = logging.getLogger(__name__)
_RECOMMIT_SECONDS = 3600.0


class Offsets:
    """The offsets of one session; all commits go through here.

    Parameters
    ----------
    name
        The webhook's, for the log.
    consumer
        Of the webhook's group, assigned to `partitions`.
    partitions
        Of the alerts topic.
    missed
        Counts records that left the log before they could be told: in a compacted log all but the newest of each alert may.
    """

    def __init__(
        self, name: str, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], missed: Counter
    ) -> None:
        self._name = name
        self._consumer = consumer
        self._partitions = partitions
        self._missed = missed
        self._next: dict[TopicPartition, int] = {}
        self._keep_at = time.monotonic() + _RECOMMIT_SECONDS

    async def begin(self) -> dict[TopicPartition, int]:
        """Return the offsets behind the last delivery; the first time the log's end, which is committed at once."""
        ends = await self._consumer.end_offsets(self._partitions)
        for partition, end in ends.items():
            committed = await self._consumer.committed(partition)
            if committed is None:
                _LOG.warning(
                    "webhook %s begins at the end of partition %d: it is new, or no bridge ran for longer than Kafka keeps offsets",
                    self._name,
                    partition.partition,
                )
            # Past the end, they are of a log that was deleted and begun anew.
            self._next[partition] = end if committed is None else committed if committed <= end else 0
        await self._commit()
        first = await self._consumer.beginning_offsets(self._partitions)
        return {partition: max(offset, first[partition]) for partition, offset in self._next.items()}

    async def told(self, partition: TopicPartition, offset: int) -> None:
        """Commit that all up to `offset` was told."""
        self.passed(partition, offset)
        await self._commit()

    def passed(self, partition: TopicPartition, offset: int) -> None:
        """Remember that the record at `offset` need not be told again; it is committed with the next one."""
        self._missed.inc(max(offset - self._next[partition], 0))
        self._next[partition] = offset + 1

    async def keep(self) -> None:
        """Commit again what is known, once an hour, so that Kafka does not forget it."""
        if time.monotonic() > self._keep_at:
            await self._commit()

    async def _commit(self) -> None:
        await self._consumer.commit(self._next)
        self._keep_at = time.monotonic() + _RECOMMIT_SECONDS
