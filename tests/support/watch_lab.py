"""Weir's topics under a test's own prefix, a writer of score's records, and the watch app in this process or in another."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from stream.runtime.app import BaseApp
from stream.wire import AlertRecord, Event, FindingRecord, RetrainingRecord, Signal, encode, partition_for
from support.stage_lab import Q, StageLab


class WatchLab(StageLab):
    """Weir's topics on one broker, and the watch app."""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[BaseApp]:
        async with self.running(self.watch_app()) as app:
            yield app

    async def publish(self, log: Iterable[Event | bytes]) -> None:
        """Write as score does: signals and findings to their stream's partition, ticks to every partition of signals."""
        async with self.producer() as producer:
            futures = [await send for event in log for send in self._sends(producer, event)]
            await asyncio.gather(*futures)

    def _sends(self, producer: AIOKafkaProducer, event: Event | bytes) -> list[Coroutine[Any, Any, Any]]:
        if isinstance(event, bytes):
            return [producer.send(self.names.signals, event, partition=0)]
        record = encode(event)
        topic = self.names.findings if isinstance(event.data, FindingRecord) else self.names.signals
        keyed = isinstance(event.data, FindingRecord | Signal)
        return [
            producer.send(topic, record.value, key=record.key, partition=partition, headers=list(record.headers))
            for partition in ([partition_for(event.partitionkey, Q)] if keyed else range(Q))
        ]

    async def alerts(self) -> list[AlertRecord]:
        return [event.data for _, event in await self.records(self.names.alerts, AlertRecord)]

    async def decisions(self) -> list[RetrainingRecord]:
        return [event.data for _, event in await self.records(self.names.retraining, RetrainingRecord)]

    def working(self):
        """Run a worker process, and kill it at the end."""
        return self.worker("watch", tenants=self.tenants)
