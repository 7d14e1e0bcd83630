"""Looks at Kafka from the lab: committed offsets, ends, and everything that is new on the topics."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from chaos.proxy import LoopThread

__all__ = ["Look", "Offsets", "Raw"]

Place = tuple[str, int]
Offsets = dict[Place, int]
ResultT = TypeVar("ResultT")


class Raw(msgspec.Struct, frozen=True, gc=False):
    """One record as it lies on a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Look:
    """Answers for the lab, through a loop of its own.

    Parameters
    ----------
    loop
        Where the clients live.
    options
        aiokafka connection arguments.
    """

    def __init__(self, loop: LoopThread, options: Mapping[str, Any]) -> None:
        self._loop = loop
        self._options = {**options, "request_timeout_ms": 20_000}
        self._read: Offsets = {}

    def committed(self, group: str, seconds: float = 30.0) -> Offsets:
        """Return what `group` has committed; asks again while the broker has no answer."""
        return self._patiently(lambda: self._committed(group), seconds)

    def ends(self, topics: Mapping[str, int], seconds: float = 30.0) -> Offsets:
        """Return the end offsets of `topics` (name to partitions); asks again while the broker has no answer."""
        return self._patiently(lambda: self._ends(_places(topics)), seconds)

    def forget(self) -> None:
        """Read every topic from its beginning again: it is another one now."""
        self._read.clear()

    def topics(self) -> set[str]:
        """Return the names of the topics."""
        return self._loop.call(self._topics())

    def fresh(self, topics: Mapping[str, int]) -> list[Raw]:
        """Return what has come to `topics` since the last call, each partition in its order."""
        return self._loop.call(self._fresh(_places(topics)), 120.0)

    def produce(
        self, records: Iterable[tuple[str, int, bytes | None, bytes | None, list[tuple[str, bytes]]]]
    ) -> Offsets:
        """Append (topic, partition, key, value, headers); return the last offset written by place."""
        return self._loop.call(self._produce(list(records)), 60.0)

    def _patiently(self, ask: Callable[[], Coroutine[Any, Any, ResultT]], seconds: float) -> ResultT:
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self._loop.call(ask(), max(1.0, deadline - time.monotonic()))
            except (KafkaError, OSError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    async def _committed(self, group: str) -> Offsets:
        client = AIOKafkaAdminClient(**self._options)
        try:
            await client.start()
            found = await client.list_consumer_group_offsets(group)
        finally:
            await client.close()
        return {(place.topic, place.partition): kept.offset for place, kept in found.items()}

    async def _topics(self) -> set[str]:
        client = AIOKafkaAdminClient(**self._options)
        try:
            await client.start()
            return set(await client.list_topics())
        finally:
            await client.close()

    async def _ends(self, places: list[TopicPartition]) -> Offsets:
        consumer = AIOKafkaConsumer(**self._options)
        try:
            await consumer.start()
            found = await consumer.end_offsets(places)
        finally:
            await consumer.stop()
        return {(place.topic, place.partition): end for place, end in found.items()}

    async def _fresh(self, places: list[TopicPartition]) -> list[Raw]:
        records: list[Raw] = []
        consumer = AIOKafkaConsumer(**self._options, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            await consumer.start()
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, self._read.get((place.topic, place.partition), 0))
            left = {place for place in places if self._read.get((place.topic, place.partition), 0) < ends[place]}
            while left:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += [_raw(one) for one in batch]
                left = {place for place in left if await consumer.position(place) < ends[place]}
            for place in places:
                self._read[place.topic, place.partition] = await consumer.position(place)
        finally:
            await consumer.stop()
        return records

    async def _produce(self, records: list[Any]) -> Offsets:
        producer = AIOKafkaProducer(**self._options, max_request_size=8 * 1024 * 1024)
        written: Offsets = {}
        try:
            await producer.start()
            sent = [
                await producer.send(topic, value, key=key, partition=partition, headers=headers)
                for topic, partition, key, value, headers in records
            ]
            for one in await asyncio.gather(*sent):
                written[one.topic, one.partition] = max(one.offset, written.get((one.topic, one.partition), -1))
        finally:
            await producer.stop()
        return written


def _raw(record: Any) -> Raw:
    return Raw(record.topic, record.partition, record.offset, record.key, record.value, tuple(record.headers))


def _places(topics: Mapping[str, int]) -> list[TopicPartition]:
    return [TopicPartition(name, number) for name, count in topics.items() for number in range(count)]
