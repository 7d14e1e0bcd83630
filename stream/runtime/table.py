"""A Faust table whose writes are awaited.

Why this exists: ``table[key] = value`` of Faust throws away the future of its changelog record (faults.md, trap 5), so that an
event can be acknowledged whose state was never kept, and takes the partition from whatever event is current. Here a write
names its partition and returns when the changelog has it; memory never runs ahead of the changelog.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import faust

from stream.errors import StateUnreadable, TopicMismatch
from stream.wire import partition_for

__all__ = ["AckedTable"]

_log = logging.getLogger(__name__)
_StateT = TypeVar("_StateT")


class AckedTable(faust.Table[bytes, bytes]):
    """A table of raw bytes; written with :meth:`put` and :meth:`remove` alone."""

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

        Parameters
        ----------
        key, value
            Raw bytes.
        partition
            The partition of the event that the state comes from.
        """
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
