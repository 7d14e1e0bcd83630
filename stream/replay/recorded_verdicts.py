"""The recorded verdicts of one detector, read together with their events, so that memory is bounded."""

import enum
from collections import OrderedDict
from math import inf

from stream.archive.reader import ArchivedRangeReader
from stream.wire import Event, Tick, Verdict, readable

#: Largest number of verdicts read before their events. Score has fewer outstanding events, so older verdicts have no
#: event in the range.
_AHEAD = 20_000
#: Score publishes a verdict at most this much event time before the tick that passes its event.
_MARGIN_SECONDS = 60.0


class Absent(enum.Enum):
    """The reason for an absent verdict.

    Score passed the event without a verdict, or has not reached the event, or the log begins after the verdicts of the event's time.
    """

    MISSING = "missing"
    PENDING = "pending"
    EXPIRED = "expired"


class _Partition:
    """Verdicts of one partition that were read before their events, and the progress of score.

    The verdicts of events before `since` may be before the first record that was read. `newest` is the largest event time that score has
    passed; of a gateway whose clock is ahead, it is the time at which Kafka stored the tick.
    """

    def __init__(self) -> None:
        self.ahead: OrderedDict[str, Verdict] = OrderedDict()
        self.sources: dict[str, float] = {}
        self.since: float | None = None
        self.newest = -inf

    def apply(self, event: Event, detector: str, stored_at: float) -> None:
        data = event.data
        if isinstance(data, Tick):
            newest = max(data.sources.values(), default=-inf)
            if stored_at >= 0:  # else the record has no timestamp
                newest = min(newest, stored_at)
            if self.since is None:
                self.since = newest + _MARGIN_SECONDS
            self.newest = max(self.newest, newest)
            self.sources |= {name: max(time, self.sources.get(name, -inf)) for name, time in data.sources.items()}
            self.sources |= dict.fromkeys(data.closed, inf)
        elif isinstance(data, Verdict) and data.detector == detector:
            self.ahead.setdefault(data.event_id, data)
            if len(self.ahead) > _AHEAD:
                self.ahead.popitem(last=False)

    def absence(self, event: Event) -> Absent | None:
        """Return why the log has no verdict on `event`, or None if later records may have one.

        Score publishes the verdict before its ticks pass the event.
        """
        if self.since is not None and event.time < self.since and self.newest > event.time:
            return Absent.EXPIRED
        return Absent.MISSING if self.sources.get(event.source, -inf) > event.time else None


class RecordedVerdicts:
    """Finds verdicts of `detector` on `topic`, which has the same partitions as inference."""

    def __init__(self, reader: ArchivedRangeReader, topic: str, partitions: int, detector: str) -> None:
        self._reader = reader
        self._topic = topic
        self._detector = detector
        self._partitions = [_Partition() for _ in range(partitions)]

    async def find(self, partition: int, event: Event) -> Verdict | Absent:
        """Return the first verdict on `event` of inference partition `partition`, or the reason for its absence.

        A later verdict, such as after ``weir dlq replay``, can be anywhere in the rest of the log, so it is not looked for.
        """
        state = self._partitions[partition]
        while True:
            verdict = state.ahead.pop(event.id, None)
            if verdict is not None:
                return verdict
            if (reason := state.absence(event)) is not None:
                return reason
            record = await self._reader.next(self._topic, partition)
            if record is None:
                return Absent.PENDING
            if record.offset == 0:
                state.since = -inf
            if (found := readable(record.value, record.headers)) is not None:
                state.apply(found, self._detector, record.timestamp / 1000)
