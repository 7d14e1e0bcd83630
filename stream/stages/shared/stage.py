"""What the three agents of the watch app share: the app, its topics, its boundary to bytes, its way to publish and to settle."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from opentelemetry.trace import Tracer

from stream.dead_letters import DeadLetters
from stream.runtime.app import BaseApp
from stream.runtime.table import AckedTable
from stream.settings import KafkaSettings, TenantSettings
from stream.stages.shared.metrics import WatchMetrics
from stream.wire import Event, TopicNames, WireError, decode

__all__ = ["PartitionCache", "StageContext", "drain", "rows"]

logger = logging.getLogger(__name__)
_BATCH = 256
_ResultT = TypeVar("_ResultT")


class StageContext:
    """An app and what its stages need of it.

    Parameters
    ----------
    app
        The app.
    tenants
        Settings by tenant.
    tracer
        Makes the spans.
    metrics
        Counts.
    dead_letters
        By stage, where records go that it cannot read.
    """

    def __init__(
        self,
        app: BaseApp,
        tenants: Callable[[str], TenantSettings],
        tracer: Tracer,
        metrics: WatchMetrics,
        dead_letters: Mapping[str, DeadLetters],
    ) -> None:
        self.app = app
        self.tenants = tenants
        self.tracer = tracer
        self.metrics = metrics
        self._dead_letters = dead_letters

    @property
    def kafka(self) -> KafkaSettings:
        """Connection and layout."""
        return self.app.kafka

    @property
    def names(self) -> TopicNames:
        """Topic names."""
        return self.kafka.names

    async def read(self, raw: Any, stage: str) -> Event | None:
        """Decode a raw Faust event; what cannot be read goes to the dead letters, and a tombstone is no event."""
        if raw.message.value is None:
            return None
        try:
            return decode(raw.message.value, raw.message.headers)
        except WireError as error:
            await self._dead_letters[stage].send(
                raw.message, disposition=error.disposition, error=type(error).__name__, place="StageContext"
            )
            return None

    async def guarded(self, raw: Any, stage: str, apply: Callable[[], _ResultT], otherwise: _ResultT) -> _ResultT:
        """Return what `apply` returns; an event on which it raises is a dead letter, and its neighbours go on."""
        try:
            return apply()
        except Exception as error:
            logger.exception(
                "stage %s: %s-%d offset %d", stage, raw.message.topic, raw.message.partition, raw.message.offset
            )
            await self._dead_letters[stage].send(raw.message, disposition="bug", error=type(error).__name__)
            return otherwise

    async def publish(self, topic: str, event: Event, partition: int) -> None:
        """Publish `event`, acknowledged by every replica when this returns."""
        await self.app.publisher.publish(topic, event, partition=partition, traceparent=event.traceparent)


class PartitionCache:
    """State of a partition in memory, for as long as one assignment lasts: then it is read from its table anew.

    Parameters
    ----------
    load
        Builds the state of a partition: (partition, first offset that is delivered in this assignment).
    """

    def __init__(self, load: Callable[[int, int], Awaitable[Any]]) -> None:
        self._load = load
        self._held: dict[int, tuple[int, Any]] = {}

    async def get(self, raw: Any) -> Any:
        """Return the state of the partition that `raw` came from."""
        message = raw.message
        generation, state = self._held.get(message.partition, (None, None))
        if generation != message.generation_id:
            state = await self._load(message.partition, message.offset)
            self._held = {number: held for number, held in self._held.items() if held[0] == message.generation_id}
            self._held[message.partition] = (message.generation_id, state)
        return state

    def values(self) -> list[Any]:
        """Return the states that are held."""
        return [state for _, state in self._held.values()]


async def drain(stream: Any, handle: Callable[[list[Any]], Awaitable[None]]) -> None:
    """Hand `stream`'s raw events to `handle` in order, as many at once as are waiting, 256 at most.

    So a flood costs one state write a batch, and a lone event waits for nothing. Ends with what `handle` raises.
    """
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


def rows(table: AckedTable) -> list[tuple[bytes, bytes]]:
    """Return a table's rows as they are in memory."""
    return list(table.data.items())
