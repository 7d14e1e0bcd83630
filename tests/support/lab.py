"""Topics of a test's own and a Faust app that runs inside the test's event loop."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.runtime.app import BaseApp, create_base_app
from stream.settings import KafkaSettings


async def eventually(check: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    """Poll until `check` is true; its last answer is in the failure."""
    deadline = time.monotonic() + seconds
    while not (answer := await check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {answer!r}"
        await asyncio.sleep(0.05)


class Lab:
    """One broker, names of its own, and short ways to look at it."""

    def __init__(self, bootstrap: str, directory) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap)
        self.directory = directory
        self.name = f"t{uuid.uuid4().hex[:10]}"

    eventually = staticmethod(eventually)

    async def topic(self, partitions: int = 1, **config: str) -> str:
        name = f"{self.name}-{uuid.uuid4().hex[:6]}"
        admin = AIOKafkaAdminClient(**self.kafka.client_options())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
        finally:
            await admin.close()
        return name

    async def produce(self, topic: str, values, partition: int = 0, key: bytes = b"k") -> None:
        async with self.producer() as producer:
            futures = [await producer.send(topic, value, key=key, partition=partition) for value in values]
            await asyncio.gather(*futures)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(**self.kafka.client_options())
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        consumer = AIOKafkaConsumer(**self.kafka.client_options(), group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            return await consumer.committed(TopicPartition(topic, partition))
        finally:
            await consumer.stop()

    async def commit(self, app: BaseApp, topic: str, offsets: dict[int, int]) -> None:
        """Commit until the broker has `offsets`: a commit that finds another one under way does nothing."""

        async def there() -> bool:
            await app.consumer.commit()
            found = {partition: await self.committed(app.conf.id, topic, partition) for partition in offsets}
            return found == offsets

        await eventually(there)

    async def read(self, topic: str, partitions: int = 1) -> list:
        """Everything that is in the topic now, in order within a partition."""
        consumer = AIOKafkaConsumer(**self.kafka.client_options(), auto_offset_reset="earliest")
        await consumer.start()
        try:
            tps = [TopicPartition(topic, number) for number in range(partitions)]
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            records: list = []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += batch
            return records
        finally:
            await consumer.stop()

    def app(self, **options) -> BaseApp:
        return self.app_named(f"{self.name}-{uuid.uuid4().hex[:6]}", **options)

    def app_named(self, app_id: str, **options) -> BaseApp:
        return create_base_app(app_id, self.kafka, data_dir=self.directory / app_id, **options)

    @asynccontextmanager
    async def running(self, app: BaseApp) -> AsyncIterator[BaseApp]:
        app.loop = asyncio.get_running_loop()
        await app.start()
        try:
            yield app
        finally:
            await app.stop()
