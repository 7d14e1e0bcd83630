"""The watermark: one event time, computed from the times of every source on every inference partition.

Windows, resolutions and cool-downs must be a function of the log, so they use this time instead of the clock. A stage on one partition of signals
receives score's ticks of all P inference partitions. After a tick, no live source sends an event older than the watermark.
"""

from math import inf

import msgspec

from stream.remember import remember
from stream.wire import Tick

#: A step of a source counts for at most this share of the limit, so that a clock jump makes no other source inactive.
#: So much append time that a source did not use counts for its next steps: Kafka stores ticks at irregular intervals.
_LARGEST_STEP = 0.25
#: Number of closed sources that are kept per partition, to ignore duplicate ticks after the end of a source.
_ENDED = 128
#: Number of released sources that are kept per partition.
_RELEASED = 512
#: Number of ended and of released sources that are kept over all partitions: their value must fit into one record of Kafka, 1 MiB.
_KEPT = 4096


class SourceTime(msgspec.Struct):
    """A source on one partition, with its newest `time`.

    `progress` starts at `SourceLane.progress`, and grows by each (capped) step by which `time` advances. `heard_at` is
    the value of `SourceLane.progress` when `time` last advanced. `logged` is the append time that `progress` has used.
    """

    time: float
    progress: float
    heard_at: float
    logged: float = 0.0


class SourceLane(msgspec.Struct, kw_only=True):
    """The sources of one inference partition, as a storable value.

    The watermark waits for the live `sources`, not for the sources in `released`. `ended` has the sources that closed
    last, so that a duplicate tick does not add them again. `progress` is the largest `SourceTime.progress` of any source
    so far. `low` is the lowest time of a live source; it never decreases.
    """

    sources: dict[str, SourceTime] = {}
    released: dict[str, float] = {}
    ended: dict[str, float] = {}
    progress: float = 0.0
    low: float | None = None

    def apply(self, tick: Tick, silence_seconds: float, partitions: int) -> None:
        """Apply a tick of this partition, one of `partitions`."""
        moved = [name for name, time in tick.sources.items() if self._advance(name, time, tick.logged, silence_seconds)]
        for name in tick.closed:
            self._end(name, tick.sources.get(name, -inf), min(_ENDED, _KEPT // partitions))
        self.progress = max((self.progress, *(source.progress for source in self.sources.values())))
        for name in moved:
            if name in self.sources:
                self.sources[name].heard_at = self.progress
        self._release(silence_seconds)
        if self.sources:
            low = min(source.time for source in self.sources.values())
            self.low = low if self.low is None else max(self.low, low)
        while len(self.released) > min(_RELEASED, _KEPT // partitions):
            del self.released[min(self.released, key=self.released.__getitem__)]

    def _end(self, name: str, time: float, most: int) -> None:
        source = self.sources.pop(name, None)
        self.released.pop(name, None)
        newest = max(time, self.ended.get(name, -inf), -inf if source is None else source.time)
        remember(self.ended, name, newest, most)

    def _advance(self, name: str, time: float, logged: float | None, silence_seconds: float) -> bool:
        logged = time if logged is None else logged
        if time <= self.ended.get(name, -inf):
            return False
        source = self.sources.get(name)
        if source is None and self.low is not None and time <= self.low - silence_seconds:
            self.released[name] = max(time, self.released.get(name, time))
            return False
        if source is None:
            self.released.pop(name, None)
            self.sources[name] = SourceTime(time, self.progress, self.progress, logged)
            return True
        if time <= source.time:
            return False
        source.logged = min(logged, max(source.logged, logged - silence_seconds * _LARGEST_STEP))
        step = min(time - source.time, logged - source.logged)
        source.progress += step
        source.logged += step
        source.time = time
        return True

    def _release(self, silence_seconds: float) -> None:
        for name, source in list(self.sources.items()):
            if self.progress - source.heard_at >= silence_seconds:
                del self.sources[name]
                self.released[name] = source.time


class Watermark:
    """The minimum time over all live sources and all P = `partitions` inference partitions; it never decreases.

    A source is released (the watermark no longer waits for it) if its time stays the same while another source on the
    partition advances by `silence_seconds`, both in event time and in append time (the times at which Kafka stored its
    ticks). Event time alone is not enough: after an outage of Kafka, a backlog of many minutes is stored in seconds,
    while the other sources still reconnect. A released source is live again when its time is less than `silence_seconds`
    behind the slowest live source. A new source that is further behind is released at once. A closed source is removed.

    `value` is None until each partition has a tick. Without live sources the watermark stays the same.

    Memory is O(P x live sources), with at most 512 released sources per partition and 4,096 in all; a tick costs O(live sources).
    """

    def __init__(self, partitions: int, silence_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self.lanes = [SourceLane() for _ in range(partitions)]
        self.value: float | None = None

    def restore(self, lanes: list[SourceLane], value: float | None) -> bool:
        """Continue from a stored watermark; return False if `lanes` has another number of partitions."""
        if len(lanes) != len(self.lanes):
            return False
        self.lanes, self.value = lanes, value
        return True

    def apply(self, tick: Tick) -> bool:
        """Apply a tick of score; return whether the watermark advanced. A tick of an unknown partition is ignored."""
        if not 0 <= tick.partition < len(self.lanes):
            return False
        self.lanes[tick.partition].apply(tick, self._silence_seconds, len(self.lanes))
        lows = [lane.low for lane in self.lanes if lane.low is not None]
        if len(lows) < len(self.lanes):
            return False
        low = min(lows)
        if self.value is not None and low <= self.value:
            return False
        self.value = low
        return True

    @property
    def slowest(self) -> float | None:
        """The time of the slowest live source on the partition that is furthest ahead, or None before the first tick.

        It does not wait for a partition that is behind or stuck, as the watermark does.
        """
        return max((lane.low for lane in self.lanes if lane.low is not None), default=None)

    @property
    def lag_seconds(self) -> float:
        """Seconds between the watermark and the newest time of any live source; 0 without a watermark or a live source."""
        if self.value is None:
            return 0.0
        times = [source.time for lane in self.lanes for source in lane.sources.values()]
        return max([self.value, *times]) - self.value

    def live(self) -> set[str]:
        """Return the sources for which the watermark waits on at least one partition."""
        return {name for partition in self.lanes for name in partition.sources}

    def released(self) -> set[str]:
        """Return the sources that at least one partition has released: the watermark no longer waits for them there."""
        return {name for partition in self.lanes for name in partition.released}
