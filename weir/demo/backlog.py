"""How many records score still has to read, and how long that takes: what the demo waits for on a stack with a backlog."""

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
from weir.cli.render.status import duration

__all__ = ["Backlog", "BacklogView", "Position", "follow_backlog", "score_position"]

_EVERY_SECONDS = 5.0
#: Score commits every few seconds, so that a smaller lag is no backlog.
_NOTABLE_RECORDS = 50


class Position(msgspec.Struct, frozen=True):
    """Score's position on the topic of requests and answers: records up to its committed offsets, and records after them."""

    read: int
    unread: int


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """Score's position now and when the demo began to watch; times are a monotonic clock's, in seconds."""

    first: Position
    began: float
    last: Position
    now: float

    @property
    def notable(self) -> bool:
        """Whether the lag is more than what score has read and not committed yet."""
        return self.last.unread >= _NOTABLE_RECORDS

    @property
    def seconds_left(self) -> float | None:
        """Time to read the rest at the rate since the demo began to watch; None while score has committed nothing since."""
        read = self.last.read - self.first.read
        if read <= 0 or self.now <= self.began:
            return None
        return self.last.unread * (self.now - self.began) / read

    def __str__(self) -> str:
        """Return the number of records to read and the time that is left, where that is known."""
        left = self.seconds_left
        return f"score: {self.last.unread:,} records to read" + (f", ~{duration(left)}" if left is not None else "")


async def score_position(kafka: KafkaSettings) -> Position:
    """Return score's position; raises one of BROKER_ERRORS if Kafka does not answer."""
    topic = kafka.names.inference
    groups = {group: (topic,) for group, topics in groups_of(kafka.names).items() if topic in topics}
    options = kafka.client_options()
    committed = await group_offsets(options, groups)
    lag = await consumer_lag(options, groups)
    return Position(
        read=sum(at for places in committed.values() for place, at in places.items() if place.topic == topic),
        unread=sum(by_topic.get(topic, 0) for by_topic in lag.values()),
    )


async def follow_backlog(
    position: Callable[[], Awaitable[Position]],
    show: Callable[[Backlog], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Show the backlog every 5 seconds until cancelled; while Kafka does not answer, nothing is shown."""
    first: tuple[Position, float] | None = None
    while True:
        with contextlib.suppress(*BROKER_ERRORS):
            last = await position()
            now = clock()
            first = first or (last, now)
            show(Backlog(first=first[0], began=first[1], last=last, now=now))
        await sleep(_EVERY_SECONDS)


class BacklogView:
    """Shows a backlog: on a terminal as a row of `progress` that disappears with it, else as a plain line each time.

    Parameters
    ----------
    progress
        The demo's.
    line
        Prints one line of plain output.
    """

    def __init__(self, progress: Progress, line: Callable[[str], None]) -> None:
        self._progress = progress
        self._line = line
        self._row: TaskID | None = None

    def show(self, backlog: Backlog) -> None:
        """Show `backlog`, or nothing where it is not notable."""
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
        """Take the row off the terminal."""
        if self._row is not None:
            self._progress.update(self._row, visible=False)
