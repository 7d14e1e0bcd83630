"""Kafka clients: the only module that creates and stops aiokafka's consumers, producers and admin clients.

Consumers have no group unless the caller names one. Without a group, the caller assigns partitions and stores positions.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest

from stream.errors import no_kafka
from stream.kafka.header_names import accept_any_header_name

#: The errors that clients raise while the broker is away or slow, or a connection is half-open.
BROKER_ERRORS = (KafkaError, OSError, TimeoutError)
accept_any_header_name()
_REQUEST_TIMEOUT_MS = 10_000
_EMPTY_FETCH_SECONDS = 0.02
_END_SECONDS = 2.0

_CONSUMER = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "request_timeout_ms": _REQUEST_TIMEOUT_MS,
    "retry_backoff_ms": 250,
    "metadata_max_age_ms": 30_000,
}
_PRODUCER = {"acks": "all", "request_timeout_ms": _REQUEST_TIMEOUT_MS}


@contextmanager
def needs_kafka(bootstrap_servers: str) -> Iterator[None]:
    """Raise a BrokerError with advice instead of an error of BROKER_ERRORS."""
    try:
        yield
    except BROKER_ERRORS as error:
        raise no_kafka(bootstrap_servers, error) from error


@asynccontextmanager
async def consumer_for(options: Mapping[str, Any], **more: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer, without a group unless `more` names one; stop it at exit, even if the start failed.

    Reading a deleted offset raises an error.
    """
    consumer = paced(AIOKafkaConsumer(**options, **(_CONSUMER | more)))
    try:
        await start_client(consumer)
        yield consumer
    finally:
        await stop_consumer(consumer)


async def start_client(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """Start `client`. A caller that is cancelled waits up to 2 s until the start has ended.

    If a start is cancelled while it requests metadata, its first connection stays open and cannot be closed (aiokafka 0.14).
    """
    starting = asyncio.create_task(client.start())
    await _to_its_end(starting)
    starting.result()


async def _to_its_end(task: asyncio.Task[None]) -> None:
    """Wait for `task`. A caller that is cancelled waits up to 2 s more, then cancels `task`."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        try:
            await asyncio.wait({task}, timeout=_END_SECONDS)
        finally:  # a second cancellation ends the wait
            task.cancel()
            await asyncio.wait({task})
        raise


def new_producer(options: Mapping[str, Any], **more: Any) -> AIOKafkaProducer:
    """Return a producer, not started, that waits for all in-sync replicas."""
    return AIOKafkaProducer(**options, **(_PRODUCER | more))


@asynccontextmanager
async def producer_for(options: Mapping[str, Any], **more: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Start a producer that waits for all in-sync replicas; stop it at exit, even if the start failed."""
    producer = new_producer(options, **more)
    try:
        await start_client(producer)
        yield producer
    finally:
        await stop_producer(producer)


@asynccontextmanager
async def admin_for(options: Mapping[str, Any], **more: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """Start an admin client; close it at exit, even if the start failed."""
    client = AIOKafkaAdminClient(**options, **({"request_timeout_ms": _REQUEST_TIMEOUT_MS} | more))
    try:
        await start_client(client)
        yield client
    finally:  # close() suppresses a cancellation of the task that calls it (aiokafka 0.14)
        await _stop(client.close(), otherwise=client.close)


def paced(consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
    """Let each empty fetch take at least 20 ms, and return `consumer`. Call this before `consumer` starts.

    Apache Kafka delays an empty fetch by ``fetch_max_wait_ms``. The embedded broker answers at once and aiokafka then fetches again at once: 4,500
    times per second, which uses one processor per consumer.
    """
    client: Any = consumer._client  # noqa: SLF001 - aiokafka has no public hook between the fetcher and the broker
    send = client.send

    async def paced_send(node_id: int, request: Any, **options: Any) -> Any:
        began = time.monotonic()
        response = await send(node_id, request, **options)
        if isinstance(request, FetchRequest) and _is_empty(response):
            await asyncio.sleep(max(0.0, began + _EMPTY_FETCH_SECONDS - time.monotonic()))
        return response

    client.send = paced_send
    return consumer


def _is_empty(response: Any) -> bool:
    """Whether a fetch response has no records. In every protocol version, a partition's last field is its records."""
    return not any(partition[-1] for _topic, partitions in response.topics for partition in partitions)


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop `consumer` without ending the calling task. A caller that is cancelled waits up to 2 s until the stop has ended.

    ``Fetcher.close`` awaits the fetches that it has cancelled (aiokafka 0.14). While a broker is away, the CancelledError of these fetches would end
    ``stop()`` early, leave connections open, and end the calling task.
    """
    await _stop(consumer.stop(), otherwise=consumer._client.close)  # noqa: SLF001 - the part of stop() that did not run


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Deliver the records of `producer` and stop it. A caller that is cancelled waits up to 2 s; then unsent records are discarded.

    A second ``stop()`` does nothing, so an interrupted stop would leave the sending task and the connections for ever.
    """
    await _stop(producer.stop(), otherwise=lambda: discard_producer(producer))


async def _stop(stop: Coroutine[Any, Any, None], *, otherwise: Callable[[], Awaitable[None]]) -> None:
    """Run `stop` in a separate task, and `otherwise` if this task is cancelled."""
    stopping = asyncio.create_task(stop)
    try:
        await _to_its_end(stopping)
    finally:
        if stopping.cancelled():
            await otherwise()
    if not stopping.cancelled():
        stopping.result()


async def discard_producer(producer: AIOKafkaProducer) -> None:
    """Stop `producer` and discard its unsent records; ``stop()`` alone would deliver them first.

    The sending task must end first, because it would handle failed batches. Then the connections must close, because
    ``stop()`` would wait for requests in flight.
    """
    sender = producer._sender.sender_task  # noqa: SLF001 - aiokafka has no public way to abandon records
    if sender is not None:
        sender.cancel()
    try:
        await producer.client.close()
    finally:
        accumulator = producer._message_accumulator  # noqa: SLF001 - as above
        batches = [batch for queued in accumulator._batches.values() for batch in queued]  # noqa: SLF001 - as above
        batches += accumulator._pending_batches  # noqa: SLF001 - as above
        accumulator.fail_all(KafkaError("abandoned with its producer"))
        # The callback of each batch removes the batch from this set, also of a batch that waits for another attempt and is not in the set.
        accumulator._pending_batches.update(batches)  # noqa: SLF001 - as above
        for batch in batches:
            batch._drain_waiter.exception()  # noqa: SLF001 - as above; otherwise, asyncio logs an error for each batch
        await producer.stop()
