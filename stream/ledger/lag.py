"""The lag of consumer groups: records between their committed offsets and the end of the log."""

import asyncio
from collections.abc import Mapping
from typing import Any

from stream.kafka.admin import group_offsets
from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import partitions_of
from stream.kafka.topic_checks import partition_counts
from stream.wire import TopicNames


def groups_of(names: TopicNames) -> dict[str, tuple[str, ...]]:
    """Return {consumer group of a Faust app: the topics of its agents}."""
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

    In a partition without a committed offset, every record counts. Topics that do not exist are omitted. Raises a
    KafkaError, OSError or TimeoutError if Kafka does not answer in time.
    """
    async with asyncio.timeout(timeout_seconds):
        topics = {topic for read in groups.values() for topic in read}
        counts = await partition_counts(options, topics)
        committed = await group_offsets(options, groups)
        partitions = partitions_of(counts)
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
    """Return {topic: lag of its slowest consumer group}."""
    worst: dict[str, int] = {}
    for by_topic in lags.values():
        for topic, behind in by_topic.items():
            worst[topic] = max(worst.get(topic, 0), behind)
    return worst
