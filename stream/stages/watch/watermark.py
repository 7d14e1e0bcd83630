"""How far log time has come: one number, out of what every source says on every inference partition.

Why this exists: windows, resolves and cool-downs must be a function of the log. A stage on one partition of signals hears
score's ticks of all P inference partitions; once it has, nothing older than the watermark can come from a live source.
"""

from collections.abc import Iterable
from math import inf

import msgspec

from stream.wire import Tick

__all__ = ["SourceLane", "SourceTime", "Watermark"]

#: A step of one source counts for at most this share of the silence: a clock that jumps must not make the others look silent.
_LARGEST_STEP = 0.25
#: Closed sources that are remembered on a partition: what one of them told may come again after its closing.
_ENDED = 128


class SourceTime(msgspec.Struct):
    """One source on one partition: its time, its capped progress, and the partition's progress when it last moved."""

    time: float
    progress: float
    heard_at: float


class SourceLane(msgspec.Struct, kw_only=True):
    """The sources of one inference partition; a plain value, so that it can be stored.

    Parameters
    ----------
    heard
        Whether a tick of it was read.
    sources
        The live ones, and those that are expected.
    released
        Those that hold the watermark no longer, with the newest time that each told here.
    ended
        The last that closed, in that order, with the newest time that each told: a repeat of a tick brings none of them back. As the
        last live one it would take log time to where its clock was, and keep it there.
    progress
        The capped progress of the fastest source.
    low
        Nothing older comes from a live source here; None before that is known. It never goes back.
    """

    heard: bool = False
    sources: dict[str, SourceTime] = {}
    released: dict[str, float] = {}
    ended: dict[str, float] = {}
    progress: float = 0.0
    low: float | None = None

    def expect(self, source: str) -> None:
        """Wait for `source`, which was live in an earlier life and may be heard late."""
        self.sources[source] = SourceTime(-inf, self.progress, self.progress)

    def apply(self, tick: Tick, silence_seconds: float) -> None:
        """Take what a tick of this partition says."""
        self.heard = True
        moved = [name for name, time in tick.sources.items() if self._advance(name, time, silence_seconds)]
        for name in tick.closed:
            self._end(name, tick.sources.get(name, -inf))
        self.progress = max((self.progress, *(source.progress for source in self.sources.values())))
        for name in moved:
            if name in self.sources:
                self.sources[name].heard_at = self.progress
        self._release(silence_seconds)
        if self.sources:
            low = min(source.time for source in self.sources.values())
            if low > -inf:
                self.low = low if self.low is None else max(self.low, low)

    def _end(self, name: str, time: float) -> None:
        source = self.sources.pop(name, None)
        self.released.pop(name, None)
        self.ended[name] = max(time, self.ended.pop(name, -inf), -inf if source is None else source.time)
        while len(self.ended) > _ENDED:
            del self.ended[next(iter(self.ended))]

    def _advance(self, name: str, time: float, silence_seconds: float) -> bool:
        if time <= self.ended.get(name, -inf):
            return False
        source = self.sources.get(name)
        if source is None and self.low is not None and time <= self.low - silence_seconds:
            self.released[name] = max(time, self.released.get(name, time))
            return False
        if source is None:
            self.released.pop(name, None)
            self.sources[name] = SourceTime(time, self.progress, self.progress)
            return True
        if time <= source.time:
            return False
        if source.time > -inf:
            source.progress += min(time - source.time, silence_seconds * _LARGEST_STEP)
        source.time = time
        return True

    def _release(self, silence_seconds: float) -> None:
        for name, source in list(self.sources.items()):
            if self.progress - source.heard_at >= silence_seconds:
                del self.sources[name]
                self.released[name] = source.time


class Watermark:
    """The minimum over live sources and all inference partitions; it never goes back.

    Parameters
    ----------
    partitions
        P, the number of inference partitions; there is no watermark before a tick of each was heard.
    silence_seconds
        A source that did not move while another moved so far (log time, on the same partition) is released: it holds the
        watermark no longer, until it comes within so much of it again; so does one that is further behind when it is first
        heard. A closed source leaves. When all are gone, the watermark stays.
    known
        Sources that a former instance knew: the watermark waits for each of them too, so that a restart does not run ahead
        of a source that is slow to be heard again.

    Notes
    -----
    Memory is O(P x live sources); a tick costs O(live sources).
    """

    def __init__(self, partitions: int, silence_seconds: float, known: Iterable[str] = ()) -> None:
        self._silence_seconds = silence_seconds
        self._partitions = [SourceLane() for _ in range(partitions)]
        names = sorted(known)
        for partition in self._partitions:
            for source in names:
                partition.expect(source)
        self.value: float | None = None
        self.newest: float | None = None

    @property
    def lanes(self) -> list[SourceLane]:
        """What each inference partition says, to be stored with :attr:`value`."""
        return self._partitions

    def restore(self, lanes: list[SourceLane], value: float | None) -> bool:
        """Go on where a former instance stood, instead of waiting; False where its number of partitions was another."""
        if len(lanes) != len(self._partitions):
            return False
        self._partitions, self.value = lanes, value
        return True

    def apply(self, tick: Tick) -> bool:
        """Take one of score's ticks; return whether the watermark moved. A tick of an unknown partition changes nothing."""
        if not 0 <= tick.partition < len(self._partitions):
            return False
        self._partitions[tick.partition].apply(tick, self._silence_seconds)
        self.newest = max((time for time in (self.newest, *tick.sources.values()) if time is not None), default=None)
        lows = [partition.low for partition in self._partitions if partition.heard and partition.low is not None]
        if len(lows) < len(self._partitions):
            return False
        low = min(lows)
        if self.value is not None and low <= self.value:
            return False
        self.value = low
        return True

    @property
    def lag_seconds(self) -> float:
        """How far the watermark is behind the newest time heard; 0 before there is one."""
        return self.newest - self.value if self.newest is not None and self.value is not None else 0.0

    def live(self) -> set[str]:
        """Return the sources that are live on some partition, or expected there."""
        return {name for partition in self._partitions for name in partition.sources}

    def released(self) -> set[str]:
        """Return the sources that are released on some partition."""
        return {name for partition in self._partitions for name in partition.released}
