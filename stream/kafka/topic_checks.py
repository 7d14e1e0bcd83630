"""Checks that Weir's topics exist and have the partition counts of the settings."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any

from stream.errors import TopicMismatch, TopicMissing, kafka_problem
from stream.kafka.clients import BROKER_ERRORS, admin_for

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5
_ANSWER_SECONDS = 10.0


async def partition_counts(options: Mapping[str, Any], topics: Collection[str] | None = None) -> dict[str, int]:
    """Return {topic: number of partitions} of the existing topics; with `topics`, only of these topics."""
    async with admin_for(options) as client:
        described = await client.describe_topics()
    counts = {entry["topic"]: len(entry["partitions"]) for entry in described if entry["partitions"]}
    return counts if topics is None else {topic: counts[topic] for topic in topics if topic in counts}


async def required_counts(options: Mapping[str, Any], topics: Collection[str]) -> dict[str, int]:
    """Return {topic: number of partitions} of `topics`; raises TopicMissing if one does not exist."""
    counts = await partition_counts(options, topics)
    check_topics({topic: counts.get(topic, 0) for topic in topics}, counts)
    return counts


def check_topics(expected: Mapping[str, int], found: Mapping[str, int]) -> None:
    """Compare `expected`, {topic: partitions} of the settings, with the partition counts of the broker.

    Raises TopicMismatch if a topic has another partition count, TopicMissing if a topic does not exist.
    """
    wrong = [
        f"{topic} has {found[topic]} partitions, the settings require {count}"
        for topic, count in expected.items()
        if found.get(topic, count) != count
    ]
    if wrong:
        raise TopicMismatch(
            f"{'; '.join(wrong)}. The count of a topic is fixed when it is created (another count would send a key to another partition): "
            "set WEIR_KAFKA__PARTITIONS and WEIR_KAFKA__STREAM_PARTITIONS to the existing counts, or create new topics with another "
            "WEIR_KAFKA__TOPIC_PREFIX"
        )
    if missing := sorted(expected.keys() - found.keys()):
        raise TopicMissing(
            f"no topic {', '.join(missing)}; run `weir topics create`, or set WEIR_KAFKA__TOPIC_PREFIX to the prefix of existing topics. "
            "Kafka also hides a topic from a user without the right Describe"
        )


async def wait_for_topics(options: Mapping[str, Any], expected: Mapping[str, int]) -> None:
    """Wait until every topic of `expected`, {topic: partitions}, exists.

    Raises TopicMismatch if a topic has another partition count.
    """
    logged = ""
    while True:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                check_topics(expected, await partition_counts(options, expected))
        except TopicMissing as error:
            reason = str(error)
        except BROKER_ERRORS as error:
            reason = kafka_problem(options["bootstrap_servers"], error)
        else:
            return
        if reason != logged:
            _log.warning("waiting for topics: %s", reason)
            logged = reason
        await asyncio.sleep(_PAUSE_SECONDS)
