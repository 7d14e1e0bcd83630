"""A pipeline of the shipper on the files of the fixture `spool`, which a test module defines, and a broker in memory."""

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from support.shipping import LIMITS, finish, until
from support.simulated_kafka import SteppedDelivery

from serving.capture.metrics import ShipperMetrics
from serving.capture.pipeline import Pipeline


@pytest.fixture
def kafka():
    return SteppedDelivery()


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def ship(spool, spans):
    """Return a function that starts a new pipeline on the files of the spool."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))

    def begin(kafka, limits=LIMITS):
        metrics = ShipperMetrics(CollectorRegistry())
        pipeline = Pipeline(spool.directory, kafka, tracer=provider.get_tracer("t"), metrics=metrics, limits=limits)
        stop = asyncio.Event()
        return pipeline, stop, asyncio.create_task(pipeline.run(stop))

    return begin


@pytest.fixture
def deliver(ship):
    """Return a function that ships until `count` records are in flight, acknowledges them, and stops."""

    async def run(kafka, count, limits=LIMITS):
        _, stop, task = ship(kafka, limits)
        await until(lambda: len(kafka.pending) == count)
        kafka.take()
        await finish(stop, task)

    return run
