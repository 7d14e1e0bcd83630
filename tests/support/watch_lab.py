"""Weir's topics under a prefix of its own, what score would write to them, and the watch app in this process or in another."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from stream.kafka.admin import create_topics
from stream.runtime.app import BaseApp
from stream.settings import KafkaSettings, WatchSettings
from stream.stages.watch_app import create_app
from stream.wire import AlertRecord, Event, FindingRecord, RetrainingRecord, Signal, decode, encode, partition_for
from support.lab import Lab

P, Q = 2, 2
_ROOT = Path(__file__).parents[2]


class WatchLab(Lab):
    """Weir's topics on one broker."""

    def __init__(self, bootstrap: str, directory: Path, tenants: dict[str, Any]) -> None:
        super().__init__(bootstrap, directory)
        self.tenants = tenants
        self.kafka = KafkaSettings(
            bootstrap_servers=bootstrap,
            topic_prefix=f"{self.name}.",
            partitions=P,
            stream_partitions=Q,
            retention_bytes=2**26,
        )
        self.names = self.kafka.names
        self.exporter = InMemorySpanExporter()
        self.registry = CollectorRegistry()

    async def create(self) -> "WatchLab":
        await create_topics(self.kafka.client_options(), self.kafka.topics())
        return self

    def watch_app(self, settings: WatchSettings | None = None) -> BaseApp:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.registry = CollectorRegistry()
        return create_app(
            self.kafka,
            settings or WatchSettings(),
            self.tenants,
            data_dir=self.directory / uuid.uuid4().hex[:6],
            registry=self.registry,
            tracer_provider=provider,
        )

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

    async def records(self, topic: str, kind: type[Any]) -> list[Any]:
        """Return (Kafka record, event) of every event of `kind` on `topic`."""
        pairs = [(record, decode(record.value, record.headers)) for record in await self.read(topic, Q)]
        return [(record, event) for record, event in pairs if isinstance(event.data, kind)]

    async def alerts(self) -> list[AlertRecord]:
        return [event.data for _, event in await self.records(self.names.alerts, AlertRecord)]

    async def decisions(self) -> list[RetrainingRecord]:
        return [event.data for _, event in await self.records(self.names.retraining, RetrainingRecord)]

    def worker(self) -> subprocess.Popen[bytes]:
        """Start a worker process."""
        kafka = self.kafka.model_dump(mode="json", exclude={"sasl_password"})
        given = {"kafka": kafka, "tenants": self.tenants, "data_dir": str(self.directory / uuid.uuid4().hex[:6])}
        log = (self.directory / "worker.log").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "support.watch_worker", json.dumps(given)],
                cwd=_ROOT,
                env=os.environ | {"PYTHONPATH": f"{_ROOT / 'tests'}:{_ROOT}"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[subprocess.Popen[bytes]]:
        """Run a worker process, and kill it in the end."""
        process = self.worker()
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
