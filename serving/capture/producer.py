"""The shipper's Kafka producer, and its replacement after a failure.

Why this exists: aiokafka's idempotent producer can lose its sequence for ever, `start()` raises without a broker, and a client may not
recover after an outage (docs/design/traps.md). Pipelines use a producer through a lease, which is lost at the first error from which the
producer cannot recover. The pipelines then send records again from the spool with the next producer.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from stream.errors import TopicMismatch, TopicMissing
from stream.kafka.clients import BROKER_ERRORS, discard_producer, new_producer, start_client
from stream.kafka.topic_checks import check_topics
from stream.pause import BackOff
from stream.wire import TopicNames

_LOG = logging.getLogger(__name__)
_START_SECONDS = 15.0
_STOP_SECONDS = 5.0
_FIRST_BACKOFF_SECONDS = 0.2
_LAST_BACKOFF_SECONDS = 3.0
_REQUEST_TIMEOUT_MS = 30_000
_LINGER_MS = 2
_BATCH_BYTES = 256 * 1024
_MAX_REQUEST_BYTES = 1024 * 1024 + 32 * 1024


class DeliveryLost(Exception):
    """The lease was lost; with the next lease, the pipeline resends all records without an acknowledgement."""


class Lease:
    """Access to a producer until :meth:`lose` is called; `on_accepted` is called at its first acknowledgement."""

    def __init__(self, producer: AIOKafkaProducer, on_accepted: Callable[[], None] | None = None) -> None:
        self._producer = producer
        self._on_accepted = on_accepted
        self.lost = asyncio.Event()
        self._sending: set[asyncio.Timeout] = set()
        self.reason = ""

    @property
    def is_lost(self) -> bool:
        """Whether the producer can no longer be used."""
        return self.lost.is_set()

    async def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]
    ) -> "asyncio.Future[Any]":
        """Send a record, in order within a partition; the future is done when all replicas have acknowledged it.

        The Kafka timestamp is not the event time, because the clock of a source may be hours wrong, and Kafka rejects such records. Raises
        DeliveryLost, or MessageSizeTooLargeError if the record is larger than the producer's limit.
        """
        if self.is_lost:
            raise DeliveryLost(self.reason)
        try:
            async with asyncio.timeout(None) as sending:
                self._sending.add(sending)
                try:
                    future: asyncio.Future[Any] = await self._producer.send(
                        topic, value, key, partition, headers=headers
                    )
                finally:
                    self._sending.discard(sending)
        except MessageSizeTooLargeError:
            raise
        except TimeoutError as error:
            raise DeliveryLost(self.reason) from error
        except (KafkaError, AssertionError) as error:  # aiokafka asserts that the partition is in its metadata
            self.lose(repr(error))
            raise DeliveryLost(self.reason) from error
        if self._on_accepted is not None:
            future.add_done_callback(self._ended)
        return future

    def _ended(self, future: "asyncio.Future[Any]") -> None:
        if self._on_accepted and not self.is_lost and not future.cancelled() and future.exception() is None:
            self._on_accepted()
            self._on_accepted = None

    def lose(self, reason: str) -> None:
        """End the lease and cancel its pending sends; without this, a send through a closed client could wait for ever."""
        if not self.is_lost:
            self.reason = reason
            self.lost.set()
            for sending in self._sending:
                sending.reschedule(asyncio.get_running_loop().time())


class Delivery:
    """Keeps a working producer, and checks that the topics have `partitions` partitions.

    `on_status` is called with "" when Kafka accepts records, else with the problem. After a lost lease, only an acknowledgement shows that
    Kafka accepts records: a producer can also start while too few replicas are in sync. `on_producer` is called for each new producer.
    """

    def __init__(
        self,
        kafka_options: Mapping[str, Any],
        names: TopicNames,
        partitions: int,
        *,
        on_status: Callable[[str], None],
        on_producer: Callable[[], None],
    ) -> None:
        self._options = dict(kafka_options)
        self.names = names
        self.partitions = partitions
        self._on_status = on_status
        self._on_producer = on_producer
        self._lease: Lease | None = None
        self._ready = asyncio.Event()

    async def lease(self) -> Lease:
        """Wait for a working producer and return a lease on it."""
        while True:
            await self._ready.wait()
            if self._lease is not None and not self._lease.is_lost:
                return self._lease
            self._ready.clear()

    async def run(self) -> None:
        """Start a producer, replace it when its lease is lost, and repeat until cancelled."""
        back_off, lost = BackOff(_FIRST_BACKOFF_SECONDS, _LAST_BACKOFF_SECONDS), False
        while True:
            producer: AIOKafkaProducer | None = None
            try:
                producer = await self._start()
                self._lease = Lease(producer, partial(self._on_status, ""))
                if not lost:
                    self._on_status("")
                self._ready.set()
                began = asyncio.get_running_loop().time()
                await self._lease.lost.wait()
                lost = True
                self._on_status(f"the producer was lost: {self._lease.reason}")
                if asyncio.get_running_loop().time() - began > _LAST_BACKOFF_SECONDS:
                    back_off.reset()
            except (*BROKER_ERRORS, TopicMissing, TopicMismatch) as error:
                name, text = type(error).__name__, str(error)
                # The texts of aiokafka's errors begin with their names.
                self._on_status(text if text.startswith(name) else f"{name}: {text}")
            finally:
                self._ready.clear()
                if producer is not None:
                    await _discard(producer)
            await asyncio.sleep(back_off.seconds())

    async def _start(self) -> AIOKafkaProducer:
        producer = new_producer(
            self._options,
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_MAX_REQUEST_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            linger_ms=_LINGER_MS,
        )
        self._on_producer()
        try:
            async with asyncio.timeout(_START_SECONDS):
                await start_client(producer)
                await self._check_topics(producer)
        except BaseException:  # on cancellation too: leave no connections
            await _discard(producer)
            raise
        return producer

    async def _check_topics(self, producer: AIOKafkaProducer) -> None:
        cluster = await producer.client.fetch_all_metadata()  # names no topic, so that the request creates none
        topics = (self.names.inference, self.names.feedback)
        found = {topic: len(numbers) for topic in topics if (numbers := cluster.partitions_for_topic(topic))}
        check_topics(dict.fromkeys(topics, self.partitions), found)


async def _discard(producer: AIOKafkaProducer) -> None:
    """Stop `producer` at once: its own `stop()` would first deliver records that the next producer sends again.

    This needs a separate task, because a cancelled task of aiokafka also cancels the task that waits for it.
    """
    ending = asyncio.create_task(discard_producer(producer), name="discard")
    await asyncio.wait([ending], timeout=_STOP_SECONDS)
    if not ending.done():
        ending.cancel()
        _LOG.warning("a producer did not stop within %.0f s", _STOP_SECONDS)
    elif not ending.cancelled() and (error := ending.exception()) is not None:
        _LOG.warning("a producer did not stop cleanly: %r", error)
