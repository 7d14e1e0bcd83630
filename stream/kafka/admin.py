"""Topics and consumer groups: create, list and describe."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import TopicPartition

from stream.errors import BrokerError
from stream.kafka.clients import admin_for, consumer_for, needs_kafka
from stream.kafka.topic_checks import check_topics, partition_counts
from stream.wire.topics import Topic, copies

_ALREADY_EXISTS = 36
_CREATE_TIMEOUT_MS = 30_000


class TopicInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A topic of the broker; `messages` is the sum of its partitions' offset ranges."""

    topic: str
    partitions: int
    retention_ms: int
    cleanup_policy: str
    messages: int


async def create_topics(options: Mapping[str, Any], topics: list[Topic]) -> list[str]:
    """Create the topics in `topics` that do not exist; return the names of the created topics.

    Raises TopicMismatch if a topic has another partition count, BrokerError if the broker does not answer or fails.
    """
    with needs_kafka(options["bootstrap_servers"]):
        counts = await partition_counts(options)
        check_topics({topic.name: topic.partitions for topic in topics if topic.name in counts}, counts)
        missing = [topic for topic in topics if topic.name not in counts]
        if missing:
            async with admin_for(options, request_timeout_ms=_CREATE_TIMEOUT_MS) as client:
                await _create(client, missing)
        return [topic.name for topic in missing]


async def _create(client: AIOKafkaAdminClient, topics: list[Topic]) -> None:
    replication = copies(len((await client.describe_cluster())["brokers"]))
    new = [NewTopic(t.name, t.partitions, replication, topic_configs=t.config()) for t in topics]
    try:
        answer = await client.create_topics(new)
    except KafkaError as error:
        raise BrokerError(f"the broker refused to create topics: {error}") from error
    for name, code, *rest in answer.topic_errors:
        if code not in (0, _ALREADY_EXISTS):
            raise _refused(f"create {name}", code, rest[0] if rest else "")


def _refused(what: str, code: int, detail: str | None) -> BrokerError:
    return BrokerError(f"the broker refused to {what}: {detail or for_code(code).__name__} (error {code})")


async def correct_retention(
    options: Mapping[str, Any], topics: list[Topic], *, alter: bool
) -> list[tuple[Topic, Topic]]:
    """Return (found, required) for each topic whose retention in Kafka is not that of `topics`; if `alter` is true, change it.

    A topic that is compacted, or whose configuration this user may not read, is left out. Raises BrokerError as :func:`create_topics`.
    """
    limited = [topic for topic in topics if topic.cleanup_policy == "delete"]
    with needs_kafka(options["bootstrap_servers"]):
        async with admin_for(options) as client:
            configs = await _configs(client, [topic.name for topic in limited])
            found = [(_with_retention(topic, configs[topic.name]), topic) for topic in limited]
            different = [pair for pair in found if pair[0] != pair[1]]
            if alter and different:
                await _alter(client, [required for _, required in different])
    return different


def _with_retention(topic: Topic, config: Mapping[str, str]) -> Topic:
    milliseconds = int(config.get("retention.ms", topic.retention_ms))
    size = int(config.get("retention.bytes", topic.retention_bytes))
    return msgspec.structs.replace(topic, retention_ms=milliseconds, retention_bytes=size)


async def _alter(client: AIOKafkaAdminClient, topics: list[Topic]) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=topic.config()) for topic in topics]
    for answer in await client.alter_configs(resources):
        for code, detail, _type, name in answer.resources:
            if code:
                raise _refused(f"change {name}", code, detail)


async def list_topics(options: Mapping[str, Any], prefix: str) -> list[TopicInfo]:
    """Return the topics whose names begin with `prefix`, sorted by name; raises BrokerError if no broker answers."""
    with needs_kafka(options["bootstrap_servers"]):
        found = await partition_counts(options)
        counts = {name: found[name] for name in sorted(found) if name.startswith(prefix)}
        async with admin_for(options) as client:
            configs = await _configs(client, counts)
        messages = await _messages(options, counts)
    return [
        TopicInfo(
            topic=name,
            partitions=counts[name],
            retention_ms=int(configs[name].get("retention.ms", -1)),
            cleanup_policy=configs[name].get("cleanup.policy", "delete"),
            messages=messages[name],
        )
        for name in counts
    ]


async def _configs(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    resources = [resource for answer in answers for resource in answer.resources]
    return {name: {entry[0]: entry[1] for entry in entries} for _code, _detail, _type, name, entries in resources}


async def _messages(options: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, int]:
    partitions = [TopicPartition(name, index) for name, count in counts.items() for index in range(count)]
    if not partitions:
        return {}
    async with consumer_for(options) as consumer:
        first = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
    messages = dict.fromkeys(counts, 0)
    for partition in partitions:
        messages[partition.topic] += ends[partition] - first[partition]
    return messages


async def group_offsets(options: Mapping[str, Any], groups: Iterable[str]) -> dict[str, dict[TopicPartition, int]]:
    """Return {group: {partition: committed offset}}; a group that never committed has no entries."""
    found: dict[str, dict[TopicPartition, int]] = {}
    async with admin_for(options) as client:
        for group in groups:
            try:
                committed = await client.list_consumer_group_offsets(group)
            except UnknownTopicOrPartitionError:
                committed = {}
            found[group] = {partition: entry.offset for partition, entry in committed.items() if entry.offset >= 0}
    return found


async def leave_group(options: Mapping[str, Any], group: str, member: str) -> None:
    """Remove `member` from consumer group `group`."""
    async with admin_for(options) as client:
        coordinator = await client.find_coordinator(group)
        request = LeaveGroupRequest(group, member)
        await client._send_request(request, coordinator)  # noqa: SLF001 - aiokafka has no public call for one member
