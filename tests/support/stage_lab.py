"""Weir's topics under a test's own prefix on one broker, for the score app and the watch app."""

import uuid
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from stream.kafka.admin import create_topics
from stream.settings import KafkaSettings, WatchSettings
from stream.stages.watch_app import create_app
from stream.wire import decode
from support.component_process import component_process
from support.lab import Lab

P, Q = 2, 2


class StageLab(Lab):
    """Weir's topics, and the spans of the apps that run on them."""

    def __init__(self, bootstrap, directory, tenants=None) -> None:
        super().__init__(bootstrap, directory)
        sizes = {"partitions": P, "stream_partitions": Q, "retention_bytes": 2**26}
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=f"{self.name}.", **sizes)
        self.tenants = tenants or {}
        self.registry = CollectorRegistry()
        self.names = self.kafka.names
        self.exporter = InMemorySpanExporter()

    async def create(self):
        await create_topics(self.kafka.client_options(), self.kafka.topics())
        return self

    def watch_app(self, settings=None, **options):
        self.registry = CollectorRegistry()
        telemetry = {"registry": self.registry, "tracer_provider": self.provider()}
        folder = self.directory / uuid.uuid4().hex[:6]
        return create_app(
            self.kafka, settings or WatchSettings(), self.tenants, data_dir=folder, **telemetry, **options
        )

    def worker(self, name, **options):
        """Run a score or watch worker as a process; its log is worker.log."""
        return component_process(name, self.directory / "worker", self.kafka, **options)

    def provider(self) -> TracerProvider:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        return provider

    async def records(self, topic, kind: type[Any] = object, partitions=Q) -> list[Any]:
        """Return (Kafka record, event) of every event on `topic` whose data is a `kind`."""
        pairs = [(record, decode(record.value, record.headers)) for record in await self.read(topic, partitions)]
        return [(record, event) for record, event in pairs if isinstance(event.data, kind)]
