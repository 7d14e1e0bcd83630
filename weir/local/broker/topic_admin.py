"""Topics: create what Weir needs, refuse what does not fit, list what is there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code
from aiokafka.structs import TopicPartition

from stream.errors import BrokerError, TopicMismatch, no_kafka
from stream.kafka.consumer import started
from stream.wire.topics import Topic, copies

__all__ = ["TopicInfo", "create_topics", "list_topics"]

_ALREADY_EXISTS = 36
_TIMEOUT_MS = 30_000


class TopicInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as it is in the broker; `messages` is the offset range that it still holds."""

    topic: str
    partitions: int
    retention_ms: int
    cleanup_policy: str
    messages: int


@asynccontextmanager
async def _admin(options: dict[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**options, request_timeout_ms=_TIMEOUT_MS)
    try:
        await client.start()
    except KafkaConnectionError as error:
        await client.close()
        raise no_kafka(options["bootstrap_servers"]) from error
    try:
        yield client
    finally:
        await client.close()


async def _partition_counts(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    existing = set(await client.list_topics())
    wanted = [name for name in names if name in existing]
    described = await client.describe_topics(wanted) if wanted else []
    return {entry["topic"]: len(entry["partitions"]) for entry in described}


async def create_topics(options: dict[str, Any], topics: list[Topic], *, replication: int | None = None) -> list[str]:
    """Create the topics that are missing and return their names.

    Parameters
    ----------
    options
        Connection arguments of aiokafka's clients (``KafkaSettings.client_options()``).
    topics
        What must be there.
    replication
        Copies of each partition; None: three, or as many as there are brokers.

    Raises
    ------
    TopicMismatch
        A topic exists with another partition count.
    BrokerError
        No broker answers, or it refuses.
    """
    async with _admin(options) as client:
        counts = await _partition_counts(client, [topic.name for topic in topics])
        _refuse_other_counts(topics, counts)
        missing = [topic for topic in topics if topic.name not in counts]
        if missing:
            await _create(client, missing, replication or await _copies(client))
        return [topic.name for topic in missing]


async def _copies(client: AIOKafkaAdminClient) -> int:
    cluster = await client.describe_cluster()
    return copies(len(cluster["brokers"]))


def _refuse_other_counts(topics: list[Topic], counts: dict[str, int]) -> None:
    wrong = [topic for topic in topics if counts.get(topic.name, topic.partitions) != topic.partitions]
    if wrong:
        found = "; ".join(f"{t.name} has {counts[t.name]} partitions, needed are {t.partitions}" for t in wrong)
        raise TopicMismatch(
            f"{found}. Counts are fixed at creation (another count would send a key elsewhere): set "
            "WEIR_KAFKA__PARTITIONS and WEIR_KAFKA__STREAM_PARTITIONS to what is there, or start a fresh set of topics "
            "with another WEIR_KAFKA__TOPIC_PREFIX"
        )


async def _create(client: AIOKafkaAdminClient, topics: list[Topic], replication: int) -> None:
    new = [NewTopic(t.name, t.partitions, replication, topic_configs=t.config()) for t in topics]
    try:
        answer = await client.create_topics(new)
    except KafkaError as error:
        raise BrokerError(f"the broker refused to create topics: {error}") from error
    for name, code, *rest in answer.topic_errors:
        if code not in (0, _ALREADY_EXISTS):
            detail = rest[0] if rest and rest[0] else for_code(code).__name__
            raise BrokerError(f"the broker refused to create {name}: {detail} (error {code})")


async def list_topics(options: dict[str, Any], prefix: str) -> list[TopicInfo]:
    """Return the topics whose names begin with `prefix`, sorted by name.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    async with _admin(options) as client:
        names = sorted(name for name in await client.list_topics() if name.startswith(prefix))
        counts = await _partition_counts(client, names)
        configs = {name: await _config(client, name) for name in names}
    messages = await _messages(options, counts)
    return [
        TopicInfo(
            topic=name,
            partitions=counts[name],
            retention_ms=int(configs[name].get("retention.ms", -1)),
            cleanup_policy=configs[name].get("cleanup.policy", "delete"),
            messages=messages[name],
        )
        for name in names
    ]


async def _config(client: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for answer in answers for resource in answer.resources for entry in resource[4]}


async def _messages(options: dict[str, Any], counts: dict[str, int]) -> dict[str, int]:
    partitions = [TopicPartition(name, index) for name, count in counts.items() for index in range(count)]
    if not partitions:
        return {}
    async with started(AIOKafkaConsumer(**options, request_timeout_ms=_TIMEOUT_MS)) as consumer:
        first = await consumer.beginning_offsets(partitions)
        last = await consumer.end_offsets(partitions)
    return {
        name: sum(last[TopicPartition(name, i)] - first[TopicPartition(name, i)] for i in range(count))
        for name, count in counts.items()
    }
