"""Publishes records and waits for the acknowledgement of all in-sync replicas."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from stream.wire import Event, encode

_log = logging.getLogger(__name__)
_PERMANENT = (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
_PAUSE_SECONDS = 0.5

Headers = tuple[tuple[str, bytes], ...]


async def publish(producer: AIOKafkaProducer, topic: str, event: Event, *, partition: int) -> None:
    """Encode and send `event` once; raises a KafkaError if the broker does not acknowledge it."""
    record = encode(event)
    await producer.send_and_wait(topic, record.value, key=record.key, partition=partition, headers=list(record.headers))


class Publisher:
    """Publishes through a Faust app's producer, and retries while the broker is away; Faust would only log the error.

    `producer` returns the :class:`stream.runtime.transport.Producer`, which does not exist before the app starts.
    """

    def __init__(self, producer: Callable[[], Any]) -> None:
        self._producer = producer

    async def publish(self, topic: str, event: Event, *, partition: int, traceparent: str = "") -> Any:
        """Encode and publish `event`; return Kafka's RecordMetadata. `traceparent`, if given, becomes a plain header.

        Raises a KafkaError if the broker rejects the record permanently, because of its size or missing permissions.
        """
        record = encode(event)
        hop: Headers = (("traceparent", traceparent.encode()),) if traceparent else ()
        return await self.produce(
            topic, key=record.key, value=record.value, headers=record.headers + hop, partition=partition
        )

    async def produce(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers, partition: int
    ) -> Any:
        """Publish raw bytes, as :meth:`publish` does."""
        logged = False
        while True:
            try:
                sent = await self._producer().send(topic, key, value, partition, None, list(headers))
                return await sent
            except _PERMANENT:
                raise
            except KafkaError as error:
                if not logged:
                    _log.warning("no acknowledgement from %s-%d (%s); retrying", topic, partition, type(error).__name__)
                    logged = True
            await asyncio.sleep(_PAUSE_SECONDS)
