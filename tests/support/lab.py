"""A test's own topics, and a Faust app that runs in the test's event loop."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from stream.kafka.admin import group_offsets
from stream.kafka.clients import admin_for, consumer_for, producer_for
from stream.kafka.log_reader import LogReader, partitions_of
from stream.runtime.app import BaseApp, create_base_app
from stream.settings import KafkaSettings
from support.kafka_log import until


async def eventually(check: Callable[[], object], seconds: float = 30.0) -> None:
    """Poll `check`, a function or a coroutine function, until its result is true."""
    await until("the condition", check, seconds)


class Lab:
    """A broker, names of a test's own, and short methods that write to the broker and read from it."""

    def __init__(self, bootstrap: str, directory) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap)
        self.directory = directory
        self.name = f"t{uuid.uuid4().hex[:10]}"

    eventually = staticmethod(eventually)

    async def topic(self, partitions: int = 1, **config: str) -> str:
        name = f"{self.name}-{uuid.uuid4().hex[:6]}"
        async with admin_for(self.kafka.client_options()) as admin:
            await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
        return name

    async def produce(self, topic: str, values, partition: int = 0, key: bytes = b"k") -> None:
        async with self.producer() as producer:
            futures = [await producer.send(topic, value, key=key, partition=partition) for value in values]
            await asyncio.gather(*futures)

    def producer(self) -> AbstractAsyncContextManager[AIOKafkaProducer]:
        return producer_for(self.kafka.client_options())

    async def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        found = await group_offsets(self.kafka.client_options(), [group])
        return found[group].get(TopicPartition(topic, partition))

    async def commit(self, app: BaseApp, topic: str, offsets: dict[int, int]) -> None:
        """Commit until the broker has `offsets`; a commit does nothing while another commit is in progress."""

        async def there() -> bool:
            await app.consumer.commit()
            found = {partition: await self.committed(app.conf.id, topic, partition) for partition in offsets}
            return found == offsets

        await eventually(there)

    async def read(self, topic: str, partitions: int = 1) -> list:
        """Return all records that are in the topic now, in order within each partition."""
        places = partitions_of({topic: partitions})
        records: list = []
        async with consumer_for(self.kafka.client_options()) as consumer:
            ends = await consumer.end_offsets(places)
            reader = LogReader(consumer, await consumer.beginning_offsets(places), poll_ms=200)
            while not reader.reached(ends):
                for batch in (await reader.read()).values():
                    records += batch
        return records

    def app(self, app_id: str = "") -> BaseApp:
        app_id = app_id or f"{self.name}-{uuid.uuid4().hex[:6]}"
        return create_base_app(app_id, self.kafka, data_dir=self.directory / app_id)

    @asynccontextmanager
    async def running(self, app: BaseApp) -> AsyncIterator[BaseApp]:
        app.loop = asyncio.get_running_loop()
        await app.start()
        try:
            yield app
        finally:
            await app.stop()
