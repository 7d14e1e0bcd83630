"""How far the stack's consumers are behind the log: committed offsets of the groups, the ledger's own positions."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.structs import TopicPartition

from stream.kafka.admin import group_offsets
from stream.kafka.clients import consumer_for
from stream.kafka.topic_checks import partition_counts
from stream.wire import TopicNames

__all__ = ["consumer_lag", "groups_of", "worst_lag"]


def groups_of(names: TopicNames) -> dict[str, tuple[str, ...]]:
    """Return {consumer group: the topics that its agents read}; a group is named as its Faust app, under the prefix."""
    return {
        f"{names.prefix}score": (names.inference,),
        f"{names.prefix}watch": (names.signals, names.findings, names.alerts),
    }


async def consumer_lag(
    options: Mapping[str, Any],
    groups: Mapping[str, tuple[str, ...]],
    timeout_seconds: float = 5.0,
) -> dict[str, dict[str, int]]:
    """Return {group: {topic: records between its committed offsets and the end}}.

    A partition without a committed offset counts from its beginning. Topics that do not exist are left out.

    Raises
    ------
    KafkaError, OSError, TimeoutError
        Kafka does not answer within `timeout_seconds`.
    """
    async with asyncio.timeout(timeout_seconds):
        topics = {topic for read in groups.values() for topic in read}
        counts = await partition_counts(options, topics)
        committed = await group_offsets(options, groups)
        partitions = [TopicPartition(topic, index) for topic, count in counts.items() for index in range(count)]
        if not partitions:
            return {group: {} for group in groups}
        async with consumer_for(options) as consumer:
            first = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
    lag: dict[str, dict[str, int]] = {group: {} for group in groups}
    for group, read in groups.items():
        for partition in partitions:
            if partition.topic in read:
                position = max(committed[group].get(partition, 0), first[partition])
                behind = max(ends[partition] - position, 0)
                lag[group][partition.topic] = lag[group].get(partition.topic, 0) + behind
    return lag


def worst_lag(lags: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return {topic: records that its slowest consumer has still to read}."""
    worst: dict[str, int] = {}
    for by_topic in lags.values():
        for topic, behind in by_topic.items():
            worst[topic] = max(worst.get(topic, 0), behind)
    return worst
