"""Score's backlog and the time to work it off: on a stack with a backlog, the demo waits longer."""

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

__all__ = [
    "LIMIT_SECONDS",
    "LONGEST_SECONDS",
    "Backlog",
    "BacklogView",
    "Deadline",
    "Position",
    "follow_backlog",
    "score_position",
]

#: The demo's time limit, without the time in which score works off a backlog; and the limit with that time.
LIMIT_SECONDS = 240.0
LONGEST_SECONDS = 1_200.0
_POLL_SECONDS = 5.0
#: Score commits every few seconds; a smaller lag is normal.
_NOTABLE_RECORDS = 50
#: Without a commit for so long, score makes no progress.
_STALLED_SECONDS = 60.0


class Position(msgspec.Struct, frozen=True):
    """Records of the inference topic up to score's committed offsets, and records after them."""

    read: int
    unread: int


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """Score's first and newest position, and when it last advanced; times are of a monotonic clock, in seconds."""

    first: Position
    began: float
    last: Position
    advanced: float
    now: float

    @property
    def notable(self) -> bool:
        """Whether the lag is larger than what score has read and not committed yet."""
        return self.last.unread >= _NOTABLE_RECORDS

    def shrinking(self, now: float) -> bool:
        """Whether there is a backlog, and score works it off."""
        return self.notable and now - self.advanced < _STALLED_SECONDS

    @property
    def seconds_left(self) -> float | None:
        """Time to read the rest at the rate since `began`; None before the first commit."""
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
    """Return score's position; raises one of BROKER_ERRORS if Kafka does not answer."""
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
    """Show the backlog every 5 seconds until cancelled; while Kafka does not answer, show nothing."""
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
    """Shows the newest backlog: on a terminal as a row of `progress`, else as a line each time."""

    def __init__(self, progress: Progress, line: Callable[[str], None]) -> None:
        self._progress = progress
        self._line = line
        self._row: TaskID | None = None
        self.newest: Backlog | None = None

    def show(self, backlog: Backlog) -> None:
        """Show `backlog` if it is notable."""
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
        """Return whether a limit is exceeded; the time since the last call counts unless `backlog` shrinks."""
        if backlog is None or not backlog.shrinking(now):
            self._counted += now - self._checked
        self._checked = now
        return self._counted > LIMIT_SECONDS or now - self._began > LONGEST_SECONDS
