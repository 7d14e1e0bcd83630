"""What aiokafka's consumers lack: a stop while their broker is away, and patience with a broker that has none."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest

__all__ = ["paced", "started", "stop_consumer"]

_EMPTY_FETCH_SECONDS = 0.02


def paced(consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
    """Return `consumer`, which from now on takes at least 20 ms for a fetch that brings nothing.

    A broker holds such a fetch for ``fetch_max_wait_ms``. The embedded one answers at once, and aiokafka asks again at once: 4,500
    times a second, a processor for each consumer. Call it before the consumer is started.
    """
    client: Any = consumer._client  # noqa: SLF001 - nothing public stands between the fetcher and the broker
    send = client.send

    async def patient(node_id: int, request: Any, **options: Any) -> Any:
        began = time.monotonic()
        response = await send(node_id, request, **options)
        if isinstance(request, FetchRequest) and _brings_nothing(response):
            await asyncio.sleep(max(0.0, began + _EMPTY_FETCH_SECONDS - time.monotonic()))
        return response

    client.send = patient
    return consumer


def _brings_nothing(response: Any) -> bool:
    """Tell whether no partition of a fetch response has records; they are its last field in every version."""
    return not any(partition[-1] for _topic, partitions in response.topics for partition in partitions)


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
