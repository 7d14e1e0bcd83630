"""A test's own set of topics on a real broker, and a producer of events."""

import asyncio
import contextlib
import inspect
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaProducer

from stream.kafka.admin import create_topics
from stream.kafka.clients import producer_for
from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from stream.wire import Event, decode, encode
from weir.local.create_topics import topics_on


async def until(what: str, check: Callable[[], Any], seconds: float = 60) -> Any:
    """Poll `check`, a function or a coroutine function, until its result is true; fail with `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        answer = await answer if inspect.isawaitable(answer) else answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s: {answer!r}"
        await asyncio.sleep(0.05)


async def published(kafka: KafkaSettings, topic: str, check: Callable[[Any], Any], seconds: float = 180) -> Any:
    """Follow `topic` until `check` is true for the data of a record, and return the data.

    There is one consumer: a new consumer for each look would use the CPU that the tested processes need.
    """
    tail = Tail(kafka.client_options(), topic, since=0.0)
    async with asyncio.timeout(seconds), contextlib.aclosing(tail.records()) as records:
        async for record in records:
            if check(data := decode(record.value, record.headers).data):
                return data
    raise AssertionError(f"{topic} ended")


async def fresh_topics(bootstrap: str, kind: str = "apache", **settings: Any) -> KafkaSettings:
    """Create every topic under its own prefix, as a stack with this kind of broker does."""
    counts = {"partitions": 2, "stream_partitions": 2} | settings
    kafka = KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", **counts)
    await create_topics(kafka.client_options(), topics_on(kind, kafka))
    return kafka


class Sender:
    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def send(self, topic: str, *events: Event, partition: int = 0) -> None:
        await self.spread(topic, events, lambda _event: partition)

    async def spread(self, topic: str, events: Iterable[Event], place: Callable[[Event], int]) -> None:
        """Send each event to its partition, `place` of the event, in the order of `events`."""
        sent = []
        for event in events:
            record = encode(event)
            fields = {"key": record.key, "headers": list(record.headers), "partition": place(event)}
            sent.append(await self._producer.send(topic, record.value, **fields))
        await asyncio.gather(*sent)

    async def raw(self, topic: str, *values: bytes, partition: int = 0) -> None:
        await asyncio.gather(*[await self._producer.send(topic, value, partition=partition) for value in values])


@contextlib.asynccontextmanager
async def sender(kafka: KafkaSettings):
    async with producer_for(kafka.client_options(), linger_ms=5) as producer:
        yield Sender(producer)
