"""One order of all partitions of inference that is a function of the log: always on with the partition whose time is behind."""

import heapq
from collections import OrderedDict
from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec
from aiokafka.structs import ConsumerRecord

from stream.wire import ABORTED, Event, RequestRecord, ResponseRecord, WireError, decode

__all__ = ["Merged", "Reads", "merged"]

#: Ids that are remembered against repetition: a record comes again within a restart of its shipper.
_REMEMBERED = 50_000


class Reads(Protocol):
    """What gives the records of a partition one by one, and None at its end."""

    async def next(self, topic: str, partition: int) -> ConsumerRecord | None:
        """Return the next record of a partition."""
        ...


class Merged(msgspec.Struct, frozen=True):
    """An event with its place; None for the event where the record could not be read, or came before."""

    partition: int
    offset: int
    event: Event | None


async def merged(reader: Reads, topic: str, partitions: int) -> AsyncGenerator[Merged, None]:
    """Yield the records of `topic`, ordered within a partition, and of several the one that is furthest behind first.

    A partition's time is the newest event time that was read of it, ticks included. So the order depends on the records alone,
    not on how they arrive, and partitions are never further apart than a tick.
    """
    clocks = [(float("-inf"), number) for number in range(partitions)]
    seen: OrderedDict[str, None] = OrderedDict()
    while clocks:
        time, number = clocks[0]
        record = await reader.next(topic, number)
        if record is None:
            heapq.heappop(clocks)
            continue
        event = _decoded(record)
        heapq.heapreplace(clocks, (time if event is None else max(time, event.time), number))
        yield Merged(number, record.offset, None if event is None or _repeated(seen, event) else event)


def _decoded(record: ConsumerRecord) -> Event | None:
    """Return the event, or None for what was a dead letter when it was first read."""
    try:
        return decode(record.value, record.headers)
    except WireError:
        return None


def _repeated(seen: OrderedDict[str, None], event: Event) -> bool:
    """Whether a request or an end came before; a tick stands on every partition under one id.

    An end that was written for a source which died owes nothing, and does not stand before one that was told.
    """
    data = event.data
    if not isinstance(data, RequestRecord | ResponseRecord):
        return False
    if isinstance(data, ResponseRecord) and data.status == ABORTED and not data.owed:
        return event.id in seen
    if event.id in seen:
        return True
    seen[event.id] = None
    if len(seen) > _REMEMBERED:
        seen.popitem(last=False)
    return False
