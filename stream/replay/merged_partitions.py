"""Merges the partitions of inference in an order that depends only on the log."""

import heapq
from collections import OrderedDict
from collections.abc import AsyncGenerator

import msgspec

from stream.archive.reader import ArchivedRangeReader
from stream.content import readable_content
from stream.remember import remember
from stream.wire import ABORTED, Event, RequestRecord, ResponseRecord, bounded

#: Number of event ids that are kept to find duplicates, which a restarted shipper sends soon after the originals.
_KEPT_IDS = 50_000


class MergedRecord(msgspec.Struct, frozen=True):
    """A record and its event, which is None if the record is unreadable or a duplicate; `logged` is its timestamp in seconds."""

    partition: int
    offset: int
    logged: float
    event: Event | None


async def merged_partitions(
    reader: ArchivedRangeReader, topic: str, partitions: int
) -> AsyncGenerator[MergedRecord, None]:
    """Yield the records of `topic`; the next record is always from the partition with the smallest time.

    The time of a partition is the newest event time read from it, ticks included. So the order depends only on the log,
    records of one partition stay in order, and the times of partitions differ by at most the interval between ticks.
    """
    clocks = [(float("-inf"), number) for number in range(partitions)]
    seen: OrderedDict[str, None] = OrderedDict()
    while clocks:
        time, number = clocks[0]
        record = await reader.next(topic, number)
        if record is None:
            heapq.heappop(clocks)
            continue
        event = readable_content(record.value, record.headers)
        logged = record.timestamp / 1000
        event = None if event is None else bounded(event, logged)  # as score does
        heapq.heapreplace(clocks, (time if event is None else max(time, event.time), number))
        yield MergedRecord(
            number, record.offset, logged, None if event is None or _is_duplicate(seen, event) else event
        )


def _is_duplicate(seen: OrderedDict[str, None], event: Event) -> bool:
    """Return whether `event` is a request or end record whose id is in `seen`; other types are never duplicates.

    The id of a substitute end record, written because its source died, is not added to `seen`. So the real end record
    that can follow is no duplicate.
    """
    data = event.data
    if not isinstance(data, RequestRecord | ResponseRecord):
        return False
    is_substitute = isinstance(data, ResponseRecord) and data.status == ABORTED and not data.owed
    if is_substitute or event.id in seen:
        return event.id in seen
    remember(seen, event.id, None, _KEPT_IDS)
    return False
