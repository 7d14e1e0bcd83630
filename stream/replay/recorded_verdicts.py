"""What score said at the time: the recorded verdict of an event, found without holding the log of verdicts."""

import enum
from collections import OrderedDict
from math import inf

from stream.replay.merged_log import Reads
from stream.wire import Event, Tick, Verdict, WireError, decode

__all__ = ["Absent", "RecordedVerdicts"]

#: Verdicts read ahead of their events, at most. Score has fewer events outstanding; what is left over belongs to no event here.
_AHEAD = 20_000


class Absent(enum.Enum):
    """Why there is no verdict: score went past without one, or has not come so far."""

    MISSING = "missing"
    PENDING = "pending"


class _Lane:
    """One partition of verdicts: what was read ahead, and how far score had come."""

    def __init__(self) -> None:
        self.ahead: OrderedDict[str, Verdict] = OrderedDict()
        self.sources: dict[str, float] = {}

    def take(self, event: Event, detector: str) -> None:
        data = event.data
        if isinstance(data, Tick):
            self.sources |= {name: max(time, self.sources.get(name, -inf)) for name, time in data.sources.items()}
            self.sources |= dict.fromkeys(data.closed, inf)
        elif isinstance(data, Verdict) and data.detector == detector:
            self.ahead.setdefault(data.event_id, data)
            if len(self.ahead) > _AHEAD:
                self.ahead.popitem(last=False)

    def passed(self, event: Event) -> bool:
        """Whether score's ticks have passed `event`: its verdict stands before them (design.md, decision 9)."""
        return self.sources.get(event.source, -inf) > event.time


class RecordedVerdicts:
    """Verdicts of one detector, read along with the events that they are about.

    Parameters
    ----------
    reader
        Gives the records of `topic`.
    topic, partitions
        Verdicts; partitioned as inference is, and in its order but for what score has outstanding.
    detector
        Its name.
    """

    def __init__(self, reader: Reads, topic: str, partitions: int, detector: str) -> None:
        self._reader = reader
        self._topic = topic
        self._detector = detector
        self._lanes = [_Lane() for _ in range(partitions)]

    async def find(self, partition: int, event: Event) -> Verdict | Absent:
        """Return the first verdict on `event`, which stands on `partition` of inference."""
        lane = self._lanes[partition]
        while True:
            found = lane.ahead.pop(event.id, None)
            if found is not None:
                return found
            if lane.passed(event):
                return Absent.MISSING
            record = await self._reader.next(self._topic, partition)
            if record is None:
                return Absent.PENDING
            try:
                lane.take(decode(record.value, record.headers), self._detector)
            except WireError:
                continue
