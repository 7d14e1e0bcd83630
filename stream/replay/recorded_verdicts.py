"""The recorded verdicts of one detector, read together with their events, so that memory is bounded."""

import enum
from collections import OrderedDict
from math import inf

from stream.replay.merged_partitions import RecordReader
from stream.wire import Event, Tick, Verdict, readable

__all__ = ["Absent", "RecordedVerdicts"]

#: Largest number of verdicts read before their events. Score has fewer outstanding events, so older verdicts have no
#: event in the range.
_AHEAD = 20_000


class Absent(enum.Enum):
    """The reason for an absent verdict: score passed the event without a verdict, or has not reached the event."""

    MISSING = "missing"
    PENDING = "pending"


class _Partition:
    """Verdicts of one partition that were read before their events, and the progress of score."""

    def __init__(self) -> None:
        self.ahead: OrderedDict[str, Verdict] = OrderedDict()
        self.sources: dict[str, float] = {}

    def apply(self, event: Event, detector: str) -> None:
        data = event.data
        if isinstance(data, Tick):
            self.sources |= {name: max(time, self.sources.get(name, -inf)) for name, time in data.sources.items()}
            self.sources |= dict.fromkeys(data.closed, inf)
        elif isinstance(data, Verdict) and data.detector == detector:
            self.ahead.setdefault(data.event_id, data)
            if len(self.ahead) > _AHEAD:
                self.ahead.popitem(last=False)

    def has_passed(self, event: Event) -> bool:
        """Return whether score's ticks have passed `event`; score publishes a verdict on `event` before these ticks."""
        return self.sources.get(event.source, -inf) > event.time


class RecordedVerdicts:
    """Finds verdicts of `detector` on `topic`, which has the same partitions as inference."""

    def __init__(self, reader: RecordReader, topic: str, partitions: int, detector: str) -> None:
        self._reader = reader
        self._topic = topic
        self._detector = detector
        self._partitions = [_Partition() for _ in range(partitions)]

    async def find(self, partition: int, event: Event) -> Verdict | Absent:
        """Return the first verdict on `event` of inference partition `partition`, or the reason for its absence."""
        state = self._partitions[partition]
        while True:
            verdict = state.ahead.pop(event.id, None)
            if verdict is not None:
                return verdict
            if state.has_passed(event):
                return Absent.MISSING
            record = await self._reader.next(self._topic, partition)
            if record is None:
                return Absent.PENDING
            if (found := readable(record.value, record.headers)) is not None:
                state.apply(found, self._detector)
