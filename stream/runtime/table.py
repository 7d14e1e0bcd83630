"""A Faust table whose writes are awaited.

Faust's ``table[key] = value`` does not wait for the changelog record, so an event can be acknowledged although its state was never stored. The write
also goes to the partition of the current event. Here the caller of a write names the partition, and the write returns after the changelog contains the
record; memory is never newer than the changelog.

The last record of a key is not always its newest state. A worker that was paused until its session expired, or that
retries a write, can write after another worker became the partition's owner. A state is a function of the log, so the
newest state is the state that was computed from the largest part of the log, independent of the worker that wrote it.
Recovery keeps the newest state. If an older state follows in the changelog, recovery writes the newest state again,
before compaction deletes the first copy (docs/adr/0002-furthest-state.md).
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import faust
from faust.tables import manager
from faust.types import TP

from stream.errors import StateUnreadable, TopicMismatch

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.01
_StateT = TypeVar("_StateT")
#: Return the offset up to which the state in (key, value) has read the log; raises StateUnreadable.
Order = Callable[[bytes, bytes], float]


class TableManager(manager.TableManager):
    """Starts the tables when the topics of all agents are known."""

    async def on_start(self) -> None:
        """Wait for the topics of the agents, to which Faust subscribes after this; it subscribes to a later topic 45 s later."""
        wanted = {name for agent in self.app.agents.values() for name in agent.channel.topics}
        while not self.should_stop and wanted - {name for channel in self.app.topics for name in channel.topics}:
            await self.sleep(_PAUSE_SECONDS)
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class AckedTable(faust.Table[bytes, bytes]):
    """A table of raw bytes, written only by :meth:`put` and :meth:`remove`. A state with a larger `order` is newer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order: Order = lambda _key, _value: 0.0
        self._stale: dict[bytes, int] = {}

    def rows(self, partition: int) -> list[tuple[bytes, bytes]]:
        """Return the keys and values of `partition` in memory."""
        places = cast(Any, self.data)._key_partition  # noqa: SLF001 - the partition of each row's event
        return [row for row in list(self.data.items()) if places.get(row[0]) == partition]

    def read(self, partition: int, decode: Callable[[bytes], _StateT]) -> tuple[dict[str, _StateT], set[str]]:
        """Return {key: state} of `partition`, and the keys whose values `decode` rejects with StateUnreadable."""
        states: dict[str, _StateT] = {}
        lost: set[str] = set()
        for key, value in self.rows(partition):
            try:
                states[key.decode()] = decode(value)
            except StateUnreadable as error:
                _log.warning("table %s, partition %d: %s", self.name, partition, error)
                lost.add(key.decode(errors="replace"))
        return states, lost

    async def put(self, key: bytes, value: bytes, *, partition: int) -> None:
        """Write `value` to the changelog, then to memory; `partition` is the partition of the event that changed the state.

        If the partition is revoked and assigned again during the write, recovery may read a newer state from the
        changelog, and `value` may be appended after this state. In this case, this method appends the newer state
        again, so that the newer state is the last record.
        """
        await self._publish(key, value, partition)
        while self._is_older(self._order(key, value), self._order(key, self.data.get(key))):
            value = self.data[key]
            await self._publish(key, value, partition)
        self.data[key] = value
        cast(Any, self.data)._key_partition[key] = partition  # noqa: SLF001 - by it the store drops other workers' keys

    async def rewrite(self, key: bytes, value: bytes | None, *, partition: int) -> None:
        """Write the value of `key`, or delete it if `value` is None."""
        await (self.remove(key, partition=partition) if value is None else self.put(key, value, partition=partition))

    async def remove(self, key: bytes, *, partition: int) -> None:
        """Write a tombstone to the changelog, then delete the key from memory."""
        await self._publish(key, None, partition)
        self.data.pop(key, None)
        cast(Any, self.data)._key_partition.pop(key, None)  # noqa: SLF001 - as above

    def on_key_set(self, key: Any, value: Any) -> None:  # noqa: ARG002 - Faust's signature
        """Reject ``table[key] = value``, because this write cannot be awaited."""
        raise TypeError(
            f"table {self.name}: a plain assignment is not awaited; use `await table.put(key, value, partition=…)`"
        )

    def on_key_del(self, key: Any) -> None:  # noqa: ARG002 - Faust's signature
        """Reject ``del table[key]``, because this deletion cannot be awaited."""
        raise TypeError(
            f"table {self.name}: a plain deletion is not awaited; use `await table.remove(key, partition=…)`"
        )

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Apply changelog records that recovery has read, except states older than a known state of their key."""
        orders: dict[bytes, float | None] = {}
        super().apply_changelog_batch([event for event in batch if self._is_newest(event, orders)])

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Write the newest state of a key again if an older state follows it in the changelog."""
        await super().on_recovery_completed(active_tps, standby_tps)
        stale, self._stale = self._stale, {}
        for key, partition in stale.items():
            if key in self.data:  # else Faust dropped the key, because its partition belongs to another worker
                _log.warning(
                    "table %s, partition %d: the changelog ends with an older state; writing the newer state again",
                    self.name,
                    partition,
                )
                await self._publish(key, self.data[key], partition)

    def _is_newest(self, event: Any, orders: dict[bytes, float | None]) -> bool:
        """Whether a changelog record is not older than the known state of its key (in `orders`, or in memory).

        An unreadable state has no order, so it and the next record of its key are both applied; the stage rebuilds an unreadable state from the log.
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

    async def _publish(self, key: bytes, value: bytes | None, partition: int) -> None:
        topic = self.changelog_topic_name
        count = self.app.consumer.topic_partitions(topic)
        if count and count != self.partitions:  # 0: a new topic, not in this client's metadata yet
            raise TopicMismatch(
                f"changelog {topic} has {count} partitions and its source {self.partitions}: a state would be in another partition than "
                f"its events. Delete {topic}; the table is rebuilt from the retained events"
            )
        await cast(Any, self.app).publisher.produce(topic, key=key, value=value, headers=(), partition=partition)
