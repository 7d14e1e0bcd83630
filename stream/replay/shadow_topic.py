"""The shadow topic: what a version found in a replay, marked with the replay's id, on a topic that no stage reads."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec
from aiokafka import AIOKafkaProducer

from stream.kafka.clients import producer_for
from stream.wire import Event, encode

__all__ = ["NoShadow", "Shadow", "Sink", "shadow"]

_OUTSTANDING = 1000


class Sink(Protocol):
    """Takes what a version found."""

    async def publish(self, events: Iterable[Event]) -> None:
        """Publish `events`, in order."""
        ...


class NoShadow:
    """Keeps nothing: the diff alone is asked for."""

    async def publish(self, events: Iterable[Event]) -> None:
        """Drop `events`."""


class Shadow:
    """Publishes findings and alerts under the source ``weir/replay/<replay id>``; all that is sent is acknowledged in the end.

    Parameters
    ----------
    producer
        Started.
    topic
        The shadow topic; it has one partition.
    identity
        The replay's id.
    since
        What happened before is the warm-up's, and stays out.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str, identity: str, since: float) -> None:
        self._producer = producer
        self._topic = topic
        self._source = f"weir/replay/{identity}"
        self._since = since
        self._sent: list[asyncio.Future[Any]] = []

    async def publish(self, events: Iterable[Event]) -> None:
        """Send `events` of the range, in order."""
        for event in events:
            if event.time < self._since:
                continue
            record = encode(msgspec.structs.replace(event, source=self._source))
            sent = await self._producer.send(
                self._topic, record.value, key=record.key, partition=0, headers=list(record.headers)
            )
            self._sent.append(sent)
            if len(self._sent) >= _OUTSTANDING:
                await self.flush()

    async def flush(self) -> None:
        """Wait until everything is acknowledged; raises what the broker refused."""
        sent, self._sent = self._sent, []
        await asyncio.gather(*sent)


@asynccontextmanager
async def shadow(options: Mapping[str, Any], topic: str, identity: str, since: float) -> AsyncIterator[Shadow]:
    """Run a :class:`Shadow`; its last record is acknowledged when the body's end is reached."""
    async with producer_for(options, linger_ms=5) as producer:
        target = Shadow(producer, topic, identity, since)
        yield target
        await target.flush()
