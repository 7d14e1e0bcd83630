"""The backlog of the score stage, and the time to read it: the demo waits longer while there is a backlog."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import msgspec
from rich.progress import Progress, TaskID

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


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """The score stage's progress since `began`; times are seconds of the monotonic clock.

    `first` is the position at `began`, `last` the newest position. `advanced` is when the position last changed.
    """

    first: Position
    began: float
    last: Position
    advanced: float
    now: float

    @property
    def notable(self) -> bool:
        """Whether the number of unread records exceeds the number that the score stage reads between two commits."""
        return self.last.unread >= _NOTABLE_RECORDS

    def shrinking(self, now: float) -> bool:
        """Whether there is a backlog and the score stage has advanced in the last minute."""
        return self.notable and now - self.advanced < _STALLED_SECONDS

    @property
    def seconds_left(self) -> float | None:
        """Seconds to read the unread records at the average rate since `began`; None before the first commit after `began`."""
        read = self.last.read - self.first.read
        if read <= 0 or self.now <= self.began:
            return None
        return self.last.unread * (self.now - self.began) / read

    def __str__(self) -> str:
        """Return the number of unread records and, if known, the remaining time."""
        left = self.seconds_left
        return f"score: {self.last.unread:,} records to read" + (
            f", ~{format_duration(left)}" if left is not None else ""
        )


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


async def follow_backlog(
    position: Callable[[], Awaitable[Position]],
    show: Callable[[Backlog], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Call `show` with the backlog every 5 seconds until cancelled, except while Kafka does not answer."""
    backlog: Backlog | None = None
    while True:
        with contextlib.suppress(*BROKER_ERRORS):
            last, now = await position(), clock()
            if backlog is None:
                backlog = Backlog(first=last, began=now, last=last, advanced=now, now=now)
            else:
                advanced = now if last.read > backlog.last.read else backlog.advanced
                backlog = msgspec.structs.replace(backlog, last=last, advanced=advanced, now=now)
            show(backlog)
        await sleep(_POLL_SECONDS)


class BacklogView:
    """Shows the newest backlog: on a terminal as one row of `progress`, else as a new line."""

    def __init__(self, progress: Progress, line: Callable[[str], None]) -> None:
        self._progress = progress
        self._line = line
        self._row: TaskID | None = None
        self.newest: Backlog | None = None

    def show(self, backlog: Backlog) -> None:
        """Show `backlog` if it is large enough (:attr:`Backlog.notable`)."""
        self.newest = backlog
        if not self._progress.console.is_interactive:
            if backlog.notable:
                self._line(str(backlog))
            return
        if self._row is None:
            self._row = self._progress.add_task("", total=None, visible=False)
        done = max(backlog.last.read - backlog.first.read, 0)
        total = done + backlog.last.unread
        self._progress.update(self._row, description=str(backlog), total=total, completed=done, visible=backlog.notable)

    def hide(self) -> None:
        """Remove the row from the terminal."""
        if self._row is not None:
            self._progress.update(self._row, visible=False)


class Deadline:
    """The demo's time limits."""

    def __init__(self, now: float) -> None:
        self._began = self._checked = now
        self._counted = 0.0

    def passed(self, now: float, backlog: Backlog | None) -> bool:
        """Return whether the demo has exceeded one of its two limits.

        LONGEST_SECONDS limits the whole time. LIMIT_SECONDS limits the time in which no backlog shrank.
        """
        if backlog is None or not backlog.shrinking(now):
            self._counted += now - self._checked
        self._checked = now
        return self._counted > LIMIT_SECONDS or now - self._began > LONGEST_SECONDS
