"""Stopping a plain consumer of aiokafka, also while its broker is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer

__all__ = ["started", "stop_consumer"]


@asynccontextmanager
async def started(consumer: AIOKafkaConsumer) -> AsyncIterator[AIOKafkaConsumer]:
    """Start `consumer`, and stop it in the end, also where it did not come to start."""
    try:
        await consumer.start()
        yield consumer
    finally:
        await stop_consumer(consumer)


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop `consumer` without ending the task that calls this.

    aiokafka's (0.14) ``Fetcher.close`` awaits the fetches that it has cancelled: while a broker is away their CancelledError
    leaves ``stop()`` half way, would end the task that called it, and the connections would stay open.
    """
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait({stopping})
    if stopping.cancelled():
        await consumer._client.close()  # noqa: SLF001 - what stop() did not come to
    else:
        stopping.result()
