"""The base of the watch app's three stages: read, publish, write the state, acknowledge, each step awaited."""

import abc
import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from aiokafka.structs import TopicPartition
from opentelemetry.trace import Tracer

from stream.dead_letters import DeadLetters
from stream.errors import LogExpired
from stream.kafka.clients import consumer_for
from stream.kafka.range_reader import retained
from stream.runtime.app import BaseApp
from stream.runtime.table import AckedTable
from stream.settings import TenantSettings
from stream.stages.shared.metrics import WatchMetrics
from stream.stages.shared.state_codec import encode
from stream.wire import Event, Tick, WireError, decode

logger = logging.getLogger(__name__)
_BATCH = 256
_ResultT = TypeVar("_ResultT")


class StageContext:
    """An app, and the objects that are common to the stages of the app."""

    def __init__(
        self,
        app: BaseApp,
        tenants: Callable[[str], TenantSettings],
        tracer: Tracer,
        metrics: WatchMetrics,
        dead_letters: Mapping[str, DeadLetters],
    ) -> None:
        self.app = app
        self.kafka = app.kafka
        self.names = app.kafka.names
        self.tenants = tenants
        self.tracer = tracer
        self.metrics = metrics
        self._dead_letters = dead_letters

    async def read(self, raw: Any, stage: str) -> Event | None:
        """Decode a raw Faust event; return None for a tombstone.

        If the bytes are unreadable, send a dead letter and return None.
        """
        if raw.message.value is None:
            return None
        try:
            return decode(raw.message.value, raw.message.headers)
        except WireError as error:
            await self._dead_letters[stage].send(
                raw.message, disposition=error.disposition, error=error, place="StageContext"
            )
            return None

    async def guarded(self, raw: Any, stage: str, apply: Callable[[], _ResultT], otherwise: _ResultT) -> _ResultT:
        """Return the result of `apply`. If `apply` raises, send `raw` to the dead letters and return `otherwise`."""
        place = f"{raw.message.topic}-{raw.message.partition} offset {raw.message.offset}"
        result, error = _tried(apply, otherwise, f"stage {stage}: {place}")
        if error is not None:
            await self._dead_letters[stage].send(raw.message, disposition="bug", error=type(error).__name__)
        return result

    async def rebuild(self, topic: str, partition: int, offsets: range, apply: Callable[[Event, int], object]) -> None:
        """Call `apply(event, offset)` for the retained records in `offsets`.

        A record for which `apply` raises is skipped: it became a dead letter when it was first read.
        """
        async for offset, event in self.retained(topic, partition, offsets):
            _tried(partial(apply, event, offset), None, f"rebuilding a state: {topic}-{partition} offset {offset}")

    def retained(self, topic: str, partition: int, offsets: range) -> AsyncIterator[tuple[int, Event]]:
        """Yield (offset, event) of the records in `offsets` that still exist; report progress to the watchdog."""
        return retained(self.kafka.client_options(), topic, partition, offsets, self.app.progress)

    async def end(self, topic: str, partition: int) -> int:
        """Return the end offset of a partition."""
        tp = TopicPartition(topic, partition)
        async with consumer_for(self.kafka.client_options()) as consumer:
            return int((await consumer.end_offsets([tp]))[tp])

    async def check_log(self, table: AckedTable, topic: str, partition: int, offsets: Iterable[int]) -> None:
        """Raise LogExpired if a state in `table` has read the partition up to an offset past its end.

        Such a state would ignore the records of the new topic up to this offset. `offsets` are those of the states.
        """
        read = max(offsets, default=-1)
        if read >= 0 and read >= (end := await self.end(topic, partition)):
            changelog = table.changelog_topic_name
            raise LogExpired(
                f"{topic}/{partition} ends at offset {end}, but a state in {changelog} has read offset {read}: the topic was created again; "
                f"delete the topic {changelog} (docs/operate.md, Rebuild, reset)"
            )

    async def ticks(self, partition: int, offsets: range) -> AsyncIterator[tuple[int, Tick]]:
        """Yield (offset, tick) of score's retained ticks in `offsets` of a signals partition."""
        if offsets:
            async for offset, event in self.retained(self.names.signals, partition, offsets):
                if isinstance(event.data, Tick):
                    yield offset, event.data

    async def publish(self, topic: str, event: Event, partition: int) -> None:
        """Publish `event` and wait until every replica has acknowledged it."""
        await self.app.publisher.publish(topic, event, partition=partition, traceparent=event.traceparent)


def _tried(apply: Callable[[], _ResultT], otherwise: _ResultT, what: str) -> tuple[_ResultT, Exception | None]:
    """Return the result of `apply` and None; if `apply` raises, log the error, and return `otherwise` and the error."""
    try:
        return apply(), None
    except Exception as error:
        logger.exception("%s failed", what)
        return otherwise, error


class Stage(abc.ABC):
    """A stage with a table that has the same partitions as the topic that the stage reads."""

    name: ClassVar[str]

    def __init__(self, context: StageContext, table: AckedTable) -> None:
        self._context = context
        self._app = context.app
        self._table = table
        self._partitions: dict[int, tuple[int, Any]] = {}

    @abc.abstractmethod
    async def handle(self, batch: list[Any]) -> None:
        """Process raw events, in order."""

    async def _partition(self, raw: Any) -> Any:
        """Return the state of the partition of `raw`; load the state again after each assignment of the partition."""
        number, generation = raw.message.partition, raw.message.generation_id
        if number not in self._partitions or self._partitions[number][0] != generation:
            self._partitions = {key: one for key, one in self._partitions.items() if one[0] == generation}
            self._partitions[number] = (generation, await self._load(number, raw.message.offset))
        return self._partitions[number][1]

    @abc.abstractmethod
    async def _load(self, partition: int, offset: int) -> Any:
        """Load the state of a partition, as it was before the record at `offset`."""


class TableStage(Stage):
    """A stage that publishes all records of a batch, then writes each state that changed, then acknowledges."""

    async def handle(self, batch: list[Any]) -> None:
        """Process raw events, in order."""
        current: list[Any] = []
        changed: dict[str, tuple[Any, Any]] = {}
        for raw in batch:
            if not self._app.is_current(raw):
                continue
            current.append(raw)
            partition = await self._partition(raw)
            event = await self._context.read(raw, self.name)
            if event is not None:
                changed |= {key: (state, raw) for key, state in (await self._apply(partition, event, raw)).items()}
            self._app.progress(raw.message.topic)
        for key, (state, raw) in changed.items():
            if self._app.is_current(raw):
                value = None if state is None else encode(state)
                await self._table.rewrite(key.encode(), value, partition=raw.message.partition)
        for raw in current:
            self._app.acknowledge(raw)

    @abc.abstractmethod
    async def _apply(self, partition: Any, event: Event, raw: Any) -> dict[str, Any]:
        """Apply `event` and publish the results; return {key: state to write, or None to delete it}."""


async def drain(stream: Any, handle: Callable[[list[Any]], Awaitable[None]]) -> None:
    """Pass raw events of `stream` to `handle` in order, at most 256 per call; raises the exceptions of `handle`."""
    waiting: asyncio.Queue[Any] = asyncio.Queue(_BATCH)
    async with asyncio.TaskGroup() as tasks:
        worker = tasks.create_task(_work(waiting, handle))
        async for raw in stream.noack().events():
            await waiting.put(raw)
        worker.cancel()


async def _work(waiting: "asyncio.Queue[Any]", handle: Callable[[list[Any]], Awaitable[None]]) -> None:
    while True:
        batch = [await waiting.get()]
        while not waiting.empty():
            batch.append(waiting.get_nowait())
        await handle(batch)
