"""Finds the offset that may be committed: the smallest delivered offset that is not acknowledged.

Faust stores the acknowledged offsets instead, and can commit past a message in flight (faust#606, faust#707). This
tracker stores the delivered offsets that are not acknowledged, so offsets without a record need no special treatment.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

PartitionT = TypeVar("PartitionT", bound=Hashable)


class AckTracker(Generic[PartitionT]):
    """The open offsets (delivered, not acknowledged) since the last rebalance; O(1) amortised, not thread-safe."""

    def __init__(self) -> None:
        self._generation: int | None = None
        self._partitions: dict[PartitionT, _Partition] = {}

    @property
    def generation(self) -> int | None:
        """The current assignment generation, or None before the first assignment."""
        return self._generation

    @property
    def partitions(self) -> list[PartitionT]:
        """The assigned partitions."""
        return list(self._partitions)

    def assign(self, partitions: Iterable[PartitionT], generation: int) -> None:
        """Begin a `generation` after a rebalance, without open offsets: Kafka delivers unfinished records again."""
        self._generation = generation
        self._partitions = {partition: _Partition() for partition in partitions}

    def revoke(self, partitions: Iterable[PartitionT]) -> None:
        """Forget `partitions`, which another worker owns now."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def deliver(self, partition: PartitionT, offset: int, generation: int) -> bool:
        """Mark `offset` as open; return False if it was delivered before or `generation` is not the current one."""
        state = self._state(partition, generation)
        if state is None or (state.last is not None and offset <= state.last):
            return False
        state.last = offset
        state.open[offset] = None
        return True

    def ack(self, partition: PartitionT, offset: int, generation: int) -> bool:
        """Mark `offset` as acknowledged; return False if it is not open or `generation` is not the current one."""
        state = self._state(partition, generation)
        if state is None or offset not in state.open:
            return False
        del state.open[offset]
        return True

    def owns(self, partition: PartitionT, generation: int) -> bool:
        """Whether `generation` is the current one and `partition` is assigned."""
        return self._state(partition, generation) is not None

    def position(self, partition: PartitionT) -> int | None:
        """Return the offset to commit: the smallest open offset, or :meth:`delivered` if no offset is open."""
        state = self._partitions.get(partition)
        if state is None or state.last is None:
            return None
        return next(iter(state.open), state.last + 1)

    def delivered(self, partition: PartitionT) -> int | None:
        """Return the last delivered offset plus one, or None if no offset was delivered."""
        state = self._partitions.get(partition)
        return None if state is None or state.last is None else state.last + 1

    def open_count(self, partition: PartitionT | None = None) -> int:
        """Return the number of open offsets of `partition`; None means all partitions."""
        if partition is None:
            return sum(len(state.open) for state in self._partitions.values())
        state = self._partitions.get(partition)
        return 0 if state is None else len(state.open)

    def _state(self, partition: PartitionT, generation: int) -> "_Partition | None":
        return self._partitions.get(partition) if generation == self._generation else None


class _Partition:
    """The open offsets of one partition, in order of delivery.

    They are in an OrderedDict, because a plain dict scans all deleted keys to find its first key.
    """

    __slots__ = ("last", "open")

    def __init__(self) -> None:
        self.last: int | None = None
        self.open: OrderedDict[int, None] = OrderedDict()
