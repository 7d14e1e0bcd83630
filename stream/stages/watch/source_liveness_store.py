"""Loads and writes the state of source liveness, on the signals partition that contains Weir's own stream.

Every signals partition receives the ticks of all sources. Only one partition publishes findings; otherwise each
inactive source would have one alert per partition. Ticks are acknowledged at once, but the state is written once per
bucket; a restart reads the ticks since the last write again.
"""

import logging

from stream.errors import StateUnreadable
from stream.runtime.table import AckedTable
from stream.stages.shared.stage import StageContext
from stream.stages.watch.source_liveness import OWN_STREAM, LivenessRules, SourceLiveness
from stream.stages.watch.state import decode_liveness, liveness_key
from stream.wire import OWN_TENANT, partition_for

logger = logging.getLogger(__name__)


class SourceLivenessStore:
    """Loads and writes source liveness; its buckets have the width that is set for tenant ``_weir``."""

    def __init__(self, context: StageContext, table: AckedTable, silence_seconds: float) -> None:
        self._context = context
        self._table = table
        self._partition = partition_for(OWN_STREAM, context.kafka.stream_partitions)
        self._rules = LivenessRules.of(context.kafka, context.tenants(OWN_TENANT), silence_seconds)

    async def load(self, partition: int, offset: int) -> SourceLiveness | None:
        """Return source liveness as of `offset` of signals, or None if `partition` is not the partition that stores source liveness."""
        if partition != self._partition:
            return None
        value = self._table.data.get(liveness_key(partition).encode())
        if value is None:  # the first tick writes the state, so there was no tick
            return SourceLiveness(self._rules)
        try:
            liveness = SourceLiveness(self._rules, decode_liveness(value))
        except StateUnreadable as error:
            logger.warning("partition %d: %s", partition, error)
            liveness = SourceLiveness(self._rules)
        # The findings of these ticks were published before the ticks were acknowledged.
        async for position, tick in self._context.ticks(partition, range(liveness.offset + 1, offset)):
            liveness.apply(tick, position)
        return liveness

    async def keep(self, partition: int, liveness: SourceLiveness) -> None:
        """Write the state of `liveness`."""
        await self._table.put(liveness_key(partition).encode(), liveness.snapshot(), partition=partition)
