"""The backlog of the score stage: the demo waits longer while there is a backlog."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable

import msgspec
from rich.progress import Progress

from stream.kafka.admin import group_offsets
from stream.kafka.clients import BROKER_ERRORS
from stream.ledger.lag import consumer_lag, groups_of
from stream.settings import KafkaSettings
from weir.client.times import format_duration

#: The demo's time limits: without the time in which the score stage reads a backlog, and including that time.
LIMIT_SECONDS = 240.0
LONGEST_SECONDS = 1_200.0
_POLL_SECONDS = 5.0
#: The score stage commits every few seconds, so a smaller lag is normal.
_NOTABLE_RECORDS = 50
#: If the score stage has not committed for this time, it makes no progress.
_STALLED_SECONDS = 60.0


class Position(msgspec.Struct, frozen=True):
    """Numbers of records of the inference topic: `read` by the score stage, and still `unread`."""

    read: int
    unread: int


async def score_position(kafka: KafkaSettings) -> Position:
    """Return the score stage's position; raises one of BROKER_ERRORS if Kafka does not answer."""
    topic = kafka.names.inference
    groups = {group: (topic,) for group, topics in groups_of(kafka.names).items() if topic in topics}
    options = kafka.client_options()
    committed = await group_offsets(options, groups)
    lag = await consumer_lag(options, groups)
    return Position(
        read=sum(at for offsets in committed.values() for partition, at in offsets.items() if partition.topic == topic),
        unread=sum(by_topic.get(topic, 0) for by_topic in lag.values()),
    )


class Backlog:
    """The unread records of the score stage, shown on a terminal as one row of `progress`, else as a new line."""

    def __init__(self, progress: Progress, line: Callable[[str], None]) -> None:
        self._progress = progress
        self._line = line
        self._row = progress.add_task("", total=None, visible=False)
        self._first: int | None = None
        self._last = Position(0, 0)
        self._began = self._now = 0.0
        self._advanced = -math.inf

    @property
    def notable(self) -> bool:
        """Whether the number of unread records exceeds the number that the score stage reads between two commits."""
        return self._last.unread >= _NOTABLE_RECORDS

    def shrinking(self, now: float) -> bool:
        """Whether there is a backlog and the score stage has advanced in the last minute."""
        return self.notable and now - self._advanced < _STALLED_SECONDS

    def __str__(self) -> str:
        """Return the number of unread records and, after the first commit, the remaining time; "" if there is no backlog.

        The column of rich is not enough: it begins again whenever the number of records grows, and a pipe does not have it.
        """
        if not self.notable:
            return ""
        read = self._last.read - (self._first or 0)
        left = f", ~{format_duration(self._last.unread * (self._now - self._began) / read)}" if read > 0 else ""
        return f"score: {self._last.unread:,} records to read{left}"

    async def follow(self, kafka: KafkaSettings) -> None:
        """Read and show the position every 5 seconds until cancelled, except while Kafka does not answer."""
        while True:
            with contextlib.suppress(*BROKER_ERRORS):
                self.show(await score_position(kafka), time.monotonic())
            await asyncio.sleep(_POLL_SECONDS)

    def show(self, position: Position, now: float) -> None:
        """Take `position` as the newest, and show it if it is notable."""
        if self._first is None:
            self._first, self._began, self._advanced = position.read, now, now
        elif position.read > self._last.read:
            self._advanced = now
        self._last, self._now = position, now
        if not self._progress.console.is_interactive:
            if self.notable:
                self._line(str(self))
            return
        done = max(position.read - self._first, 0)
        self._progress.update(
            self._row, description=str(self), total=done + position.unread, completed=done, visible=self.notable
        )

    def hide(self) -> None:
        """Remove the row from the terminal."""
        self._progress.update(self._row, visible=False)


class Deadline:
    """The demo's time limits."""

    def __init__(self, now: float) -> None:
        self._began = self._checked = now
        self._counted = 0.0

    def passed(self, now: float, backlog: Backlog) -> bool:
        """Return whether the demo has exceeded one of its two limits.

        LONGEST_SECONDS limits the whole time. LIMIT_SECONDS limits the time in which no backlog shrank.
        """
        if not backlog.shrinking(now):
            self._counted += now - self._checked
        self._checked = now
        return self._counted > LIMIT_SECONDS or now - self._began > LONGEST_SECONDS
