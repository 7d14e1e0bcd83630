"""Where the silences are kept: on the one signals partition that Weir's own stream belongs to.

Every signals partition hears of every source, so each could tell of a silence; one does, or there would be an alert a
partition. Ticks are acknowledged at once, the state is written once a bucket: what lies between is read again at the start.
"""

import logging

from stream.errors import StateUnreadable
from stream.kafka.range_reader import retained
from stream.runtime.table import AckedTable
from stream.stages.shared.stage import StageContext
from stream.stages.watch.source_liveness import OWN_STREAM, LivenessRules, SourceLiveness
from stream.stages.watch.state import decode_liveness, liveness_key
from stream.wire import OWN_TENANT, Tick, partition_for

__all__ = ["SourceLivenessStore"]

logger = logging.getLogger(__name__)
_HOUR_SECONDS = 3600


class SourceLivenessStore:
    """Loads and keeps the silence watch of the partition that has one.

    Parameters
    ----------
    context
        The app and what belongs to it.
    table
        Partitioned like signals.
    silence_seconds
        See :class:`~stream.stages.watch.source_liveness.LivenessRules`; the width of the buckets is that of tenant ``_weir``.
    """

    def __init__(self, context: StageContext, table: AckedTable, silence_seconds: float) -> None:
        own = context.tenants(OWN_TENANT)
        self._context = context
        self._table = table
        self._partition = partition_for(OWN_STREAM, context.kafka.stream_partitions)
        self._rules = LivenessRules(
            partitions=context.kafka.partitions,
            silence_seconds=silence_seconds,
            bucket_seconds=own.bucket_seconds,
            clear_buckets=own.alerts.close_windows,
            forget_seconds=max(context.kafka.retention_hours * _HOUR_SECONDS, 2 * silence_seconds),
        )

    async def load(self, partition: int, offset: int) -> SourceLiveness | None:
        """Return the silence watch as it stood before `offset` of signals `partition`, None where it is another's to keep."""
        if partition != self._partition:
            return None
        value = self._table.data.get(liveness_key(partition).encode())
        if value is None:  # written with the first tick, so there was none
            return SourceLiveness(self._rules)
        try:
            watch = SourceLiveness(self._rules, decode_liveness(value))
        except StateUnreadable as error:
            logger.warning("partition %d: %s", partition, error)
            watch = SourceLiveness(self._rules)
        await self._catch_up(watch, partition, offset)
        return watch

    async def keep(self, partition: int, watch: SourceLiveness) -> None:
        """Write where `watch` stands."""
        await self._table.put(liveness_key(partition).encode(), watch.snapshot(), partition=partition)

    async def _catch_up(self, watch: SourceLiveness, partition: int, end: int) -> None:
        """Take the ticks between the stored state and `end`; what they told was told before they were acknowledged."""
        offsets = range(watch.offset + 1, end)
        if not offsets:
            return
        options = self._context.kafka.client_options()
        topic, progress = self._context.names.signals, self._context.app.progress
        async for offset, event in retained(options, topic, partition, offsets, progress):
            if isinstance(event.data, Tick):
                watch.apply(event.data, offset)
