"""A Faust table whose writes are awaited.

Why this exists: ``table[key] = value`` of Faust throws away the future of its changelog record (faults.md, trap 5), so that an
event can be acknowledged whose state was never kept, and takes the partition from whatever event is current. Here a write
names its partition and returns when the changelog has it; memory never runs ahead of the changelog.

The last record of a key is not always its newest state: a worker that stood still past its session, or that sends again after a
failure, writes beside the one that has its partition by then. States are functions of the log, so the one that has come further
is the right one, whoever wrote it; recovery keeps that, and writes it again behind the stale one, before compaction drops it.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import faust
from faust.types import TP

from stream.errors import StateUnreadable, TopicMismatch
from stream.wire import partition_for

__all__ = ["AckedTable", "Order"]

_log = logging.getLogger(__name__)
_StateT = TypeVar("_StateT")
#: How far the state in (key, value) has come in the log; raises StateUnreadable.
Order = Callable[[bytes, bytes], float]


class AckedTable(faust.Table[bytes, bytes]):
    """A table of raw bytes; written with :meth:`put` and :meth:`remove` alone.

    Attributes
    ----------
    order
        Tells the newer of two states of a key; by default the last one written is.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order: Order = lambda _key, _value: 0.0
        self._stale: dict[bytes, int] = {}

    def read(self, partition: int, decode: Callable[[bytes], _StateT]) -> tuple[dict[str, _StateT], set[str]]:
        """Return the states of `partition` by key, and the keys of those that `decode` finds unreadable.

        Parameters
        ----------
        partition
            Of the table; a worker may hold several.
        decode
            Raises StateUnreadable.
        """
        assert self.partitions is not None  # app.raw_table names it
        states: dict[str, _StateT] = {}
        lost: set[str] = set()
        for key, value in list(self.data.items()):
            if partition_for(key, self.partitions) != partition:
                continue
            try:
                states[key.decode()] = decode(value)
            except StateUnreadable as error:
                _log.warning("table %s, partition %d: %s", self.name, partition, error)
                lost.add(key.decode(errors="replace"))
        return states, lost

    async def put(self, key: bytes, value: bytes, *, partition: int) -> None:
        """Write `value` to the changelog, then to memory.

        A write that took so long that a newer state was recovered meanwhile (its partition went and came back) is undone.

        Parameters
        ----------
        key, value
            Raw bytes.
        partition
            The partition of the event that the state comes from.
        """
        await self._publish(key, value, partition)
        while self._is_older(self._order(key, value), self._order(key, self.data.get(key))):
            value = self.data[key]
            await self._publish(key, value, partition)
        self.data[key] = value
        self._partition_of()[key] = partition

    async def remove(self, key: bytes, *, partition: int) -> None:
        """Write a tombstone to the changelog, then forget the key."""
        await self._publish(key, None, partition)
        self.data.pop(key, None)
        self._partition_of().pop(key, None)

    def on_key_set(self, key: Any, value: Any) -> None:  # noqa: ARG002 - Faust's signature
        """Refuse a write that nobody awaits."""
        raise TypeError(
            f"table {self.name}: a plain assignment is not awaited; use `await table.put(key, value, partition=…)`"
        )

    def on_key_del(self, key: Any) -> None:  # noqa: ARG002 - Faust's signature
        """Refuse a deletion that nobody awaits."""
        raise TypeError(
            f"table {self.name}: a plain deletion is not awaited; use `await table.remove(key, partition=…)`"
        )

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take what recovery has read of the changelog, but for states that are older than what was read before."""
        orders: dict[bytes, float | None] = {}
        super().apply_changelog_batch([event for event in batch if self._is_newest(event, orders)])

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Write anew what a stale state stands behind in the changelog."""
        await super().on_recovery_completed(active_tps, standby_tps)
        stale, self._stale = self._stale, {}
        for key, partition in stale.items():
            if key in self.data and any(tp.partition == partition for tp in active_tps):
                _log.warning("table %s, partition %d: an older writer came after a newer one", self.name, partition)
                await self._publish(key, self.data[key], partition)

    def _is_newest(self, event: Any, orders: dict[bytes, float | None]) -> bool:
        """Whether a changelog record is no older than what is known of its key; `orders` is of this batch.

        Of a state that cannot be read nothing is known: it counts, and is rebuilt from the log, and so does what comes after it.
        """
        key, value = event.key, event.message.value
        order = self._order(key, value)
        known = orders[key] if key in orders else self._order(key, self.data.get(key))
        if self._is_older(order, known):
            self._stale[key] = event.message.partition
            return False
        self._stale.pop(key, None)
        orders[key] = order
        return True

    @staticmethod
    def _is_older(order: float | None, known: float | None) -> bool:
        return order is not None and known is not None and order < known

    def _order(self, key: bytes, value: bytes | None) -> float | None:
        try:
            return self.order(key, value) if value is not None else None
        except StateUnreadable:
            return None

    def _partition_of(self) -> dict[bytes, int]:
        """Return the memory store's record of each key's partition, by which it drops what is another worker's."""
        known: dict[bytes, int] = getattr(self.data, "_key_partition", {})
        return known

    async def _publish(self, key: bytes, value: bytes | None, partition: int) -> None:
        topic = self.changelog_topic_name
        count = self.app.consumer.topic_partitions(topic)
        if count and count != self.partitions:  # 0: a topic just made, not in this client's metadata yet
            raise TopicMismatch(
                f"changelog {topic} has {count} partitions, its source has {self.partitions}: the state of a key would not be "
                f"where its events are. Delete {topic}; the table is rebuilt from the events that are kept"
            )
        await cast(Any, self.app).publisher.produce(topic, key=key, value=value, headers=(), partition=partition)
