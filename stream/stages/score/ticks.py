"""Forwards ticks (progress in event time): the score stage publishes a tick after the outputs of earlier events.

A tick of an inference partition waits until every event before the tick is acknowledged. Once per second, the ticks that no longer wait are merged
into one tick, which is published to verdicts and signals.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from stream.wire import Closed, Event, Tick

_STAGE = "score"
_EVERY_SECONDS = 1.0


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """The ticks of one partition to publish as one tick. After this, acknowledge the raw events `tokens`."""

    partition: int
    offset: int
    events: list[Event]
    tokens: list[Any]


def merge_ticks(partition: int, offset: int, events: list[Event], source: str, logged: float | None = None) -> Event:
    """Merge `events` (Tick and Closed, in order) into one tick; `offset` and `logged` are the last event's offset and timestamp."""
    logged = None if logged is None or logged < 0 else logged  # a record without a timestamp
    sources: dict[str, float] = {}
    closed: dict[str, None] = {}
    for event in events:
        times = {event.data.source: event.data.time} if isinstance(event.data, Closed) else _sources(event)
        for name, time in times.items():
            sources[name] = max(time, sources.get(name, time))
        if isinstance(event.data, Closed):
            closed[event.data.source] = None
    tick = Tick(stage=_STAGE, partition=partition, sources=sources, closed=tuple(closed), logged=logged)
    return Event(
        id=f"{_STAGE}/{partition}/{offset}",
        source=source,
        type=Tick.event_type,
        time=max(sources.values(), default=events[-1].time),
        data=tick,
    )


def _sources(event: Event) -> Mapping[str, float]:
    assert isinstance(event.data, Tick)
    return event.data.sources


class TickLine:
    """Unfinished events and waiting ticks of one partition since its last assignment."""

    def __init__(self, partition: int, generation: int) -> None:
        self.partition = partition
        self.generation = generation
        self._open: OrderedDict[int, None] = OrderedDict()
        self._ticks: deque[tuple[int, Event, Any]] = deque()

    def open(self, offset: int) -> None:
        """Add an event that was read."""
        self._open[offset] = None

    def acknowledged(self, offset: int) -> None:
        """Remove an event whose outputs are acknowledged."""
        self._open.pop(offset, None)

    def tick(self, offset: int, event: Event, token: Any) -> None:
        """Add a tick that was read; `token` is acknowledged when the tick is forwarded."""
        self._ticks.append((offset, event, token))

    @property
    def ready(self) -> bool:
        """Whether the first tick has no unfinished event before it."""
        return bool(self._ticks) and self._ticks[0][0] < self._first_open()

    def take(self) -> Forward:
        """Remove and return the ticks without an unfinished event before them; :attr:`ready` must be true."""
        bound, events, tokens, last = self._first_open(), [], [], -1
        while self._ticks and self._ticks[0][0] < bound:
            last, event, token = self._ticks.popleft()
            events.append(event)
            tokens.append(token)
        return Forward(partition=self.partition, offset=last, events=events, tokens=tokens)

    def _first_open(self) -> float:
        return next(iter(self._open), float("inf"))


class TickForwarder:
    """Forwards the ticks of all partitions, at most once per second of clock time for each partition.

    `send` publishes the ticks of one partition and acknowledges them.
    """

    def __init__(self, send: Callable[[Forward], Awaitable[None]]) -> None:
        self._send = send
        self._lines: dict[int, TickLine] = {}
        self._due: dict[int, float] = {}
        self._changed = asyncio.Event()

    def opened(self, message: Any) -> None:
        """Add an event that was read. The event must not be a tick."""
        self._line(message).open(message.offset)

    def acknowledged(self, message: Any) -> None:
        """Remove an event that was acknowledged."""
        line = self._lines.get(message.partition)
        if line is not None and line.generation == message.generation_id:
            line.acknowledged(message.offset)
            if line.ready:
                self._changed.set()

    def tick(self, message: Any, event: Event, token: Any) -> None:
        """Add an event of type Tick or Closed that was read."""
        line = self._line(message)
        line.tick(message.offset, event, token)
        if line.ready:
            self._changed.set()

    async def run(self) -> None:
        """Forward ticks until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            ready = [line for line in self._lines.values() if line.ready]
            now = loop.time()
            due = [line for line in ready if self._due.get(line.partition, now) <= now]
            for line in due:
                self._due[line.partition] = now + _EVERY_SECONDS
            await asyncio.gather(*(self._send(line.take()) for line in due))
            if not due:
                await self._pause([self._due[line.partition] - now for line in ready])

    async def _pause(self, waits: list[float]) -> None:
        """Wait until a tick becomes ready, or until the shortest of `waits` (seconds) has passed."""
        try:
            async with asyncio.timeout(min(waits, default=None)):
                await self._changed.wait()
        except TimeoutError:
            return

    def _line(self, message: Any) -> TickLine:
        line = self._lines.get(message.partition)
        if line is None or line.generation != message.generation_id:
            line = self._lines[message.partition] = TickLine(message.partition, message.generation_id)
        return line
