"""The shadow topic, which no stage reads: it contains findings and alerts of replays, with the replay's id."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from stream.kafka.clients import producer_for
from stream.wire import Event, encode

_OUTSTANDING = 1000


class ShadowTopic:
    """Publishes to the shadow topic, which has one partition; events have the source ``weir/replay/<replay id>``.

    Events before `since` belong to the warm-up and are not published.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str, identity: str, since: float) -> None:
        self._producer = producer
        self._topic = topic
        self._source = f"weir/replay/{identity}"
        self._since = since
        self._sent: list[asyncio.Future[Any]] = []

    async def publish(self, events: Iterable[Event]) -> None:
        """Send the events that are not before `since`, in order."""
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
        """Wait until all records are acknowledged; raises the broker's errors."""
        sent, self._sent = self._sent, []
        await asyncio.gather(*sent)


@asynccontextmanager
async def shadow_topic(
    options: Mapping[str, Any], topic: str, identity: str, since: float
) -> AsyncIterator[ShadowTopic]:
    """Open the shadow topic; at exit, wait until all records are acknowledged."""
    async with producer_for(options, linger_ms=5) as producer:
        shadow = ShadowTopic(producer, topic, identity, since)
        yield shadow
        await shadow.flush()
