"""Plain questions to Kafka: which partitions there are, how far a group has come, where a moment lies.

No consumer group of our own: partitions are assigned by hand, positions are kept by the caller.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.kafka.consumer import paced, started

__all__ = ["KAFKA_TROUBLE", "consumer_for", "group_offsets", "partition_counts", "producer_for", "record_at"]

#: What a broker that is away, slow or half-open makes clients raise.
KAFKA_TROUBLE = (KafkaError, OSError, TimeoutError)
_REQUEST_TIMEOUT_MS = 10_000
_FETCH_SECONDS = 15.0


@asynccontextmanager
async def _admin(options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**options, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def consumer_for(options: Mapping[str, Any], **more: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer without a group and stop it in the end; it resets no offset by itself."""
    settings: dict[str, Any] = {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "request_timeout_ms": _REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": 250,
        "metadata_max_age_ms": 30_000,
    }
    async with started(paced(AIOKafkaConsumer(**options, **(settings | more)))) as consumer:
        yield consumer


@asynccontextmanager
async def producer_for(options: Mapping[str, Any], **more: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Start a producer that waits for all in-sync replicas, and stop it in the end, also where it did not come to start."""
    settings: dict[str, Any] = {"acks": "all", "request_timeout_ms": _REQUEST_TIMEOUT_MS}
    producer = AIOKafkaProducer(**options, **(settings | more))
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


async def record_at(consumer: AIOKafkaConsumer, place: TopicPartition, offset: int) -> ConsumerRecord | None:
    """Return the record at `offset` of `place`, or None where the log does not have it (any more).

    Raises
    ------
    TimeoutError
        The record is not handed out in 15 s.
    """
    consumer.assign([place])
    first = (await consumer.beginning_offsets([place]))[place]
    end = (await consumer.end_offsets([place]))[place]
    if not first <= offset < end:
        return None
    consumer.seek(place, offset)
    try:
        record = await asyncio.wait_for(consumer.getone(place), _FETCH_SECONDS)
    except OffsetOutOfRangeError:
        return None  # it expired meanwhile
    return record if record.offset == offset else None


async def partition_counts(options: Mapping[str, Any], topics: Iterable[str]) -> dict[str, int]:
    """Return {topic: partitions} of those `topics` that exist; asking creates none."""
    async with _admin(options) as client:
        existing = set(await client.list_topics())
        wanted = [topic for topic in topics if topic in existing]
        described = await client.describe_topics(wanted) if wanted else []
        return {entry["topic"]: len(entry["partitions"]) for entry in described}


async def group_offsets(options: Mapping[str, Any], groups: Iterable[str]) -> dict[str, dict[TopicPartition, int]]:
    """Return {group: {partition: committed offset}}; a group that never committed has no entries."""
    found: dict[str, dict[TopicPartition, int]] = {}
    async with _admin(options) as client:
        for group in groups:
            try:
                committed = await client.list_consumer_group_offsets(group)
            except UnknownTopicOrPartitionError:
                committed = {}
            found[group] = {partition: entry.offset for partition, entry in committed.items() if entry.offset >= 0}
    return found
