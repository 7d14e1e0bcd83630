"""What must be true of the broker before an app starts: it answers, and the topics are as they should be."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from stream.errors import TopicMismatch

__all__ = ["check_partitions", "wait_for_topics"]

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5


def check_partitions(wanted: Mapping[str, int], found: Mapping[str, int]) -> None:
    """Raise TopicMismatch where a topic exists with another partition count."""
    for topic, count in wanted.items():
        if topic in found and found[topic] != count:
            raise TopicMismatch(
                f"topic {topic} has {found[topic]} partitions, Weir is set to {count}: keys would change their partition. Set "
                f"[kafka] partitions and stream_partitions to what is there, or use another topic_prefix"
            )


async def wait_for_topics(options: Mapping[str, Any], wanted: Mapping[str, int]) -> None:
    """Return once the broker answers and every topic of `wanted` (name to partitions) exists.

    Raises
    ------
    TopicMismatch
        A topic exists with another partition count.
    """
    said: tuple[str, ...] | None = None
    while True:
        found = await _partition_counts(options, list(wanted))
        missing = tuple(sorted(set(wanted) - set(found))) if found is not None else ()
        if found is not None:
            check_partitions(wanted, found)
            if not missing:
                return
        if missing != said:
            what = f"topics {', '.join(missing)} (`weir topics create`)" if missing else "the broker"
            _log.warning("waiting for %s", what)
            said = missing
        await asyncio.sleep(_PAUSE_SECONDS)


async def _partition_counts(options: Mapping[str, Any], topics: list[str]) -> dict[str, int] | None:
    """Return {topic: partitions} of those that exist, or None where no broker answers."""
    client = AIOKafkaClient(**options)
    try:
        await asyncio.wait_for(client.bootstrap(), 10)
        cluster = await asyncio.wait_for(client.fetch_all_metadata(), 10)
    except (KafkaError, OSError, TimeoutError):
        return None
    finally:
        await client.close()
    counts = {topic: cluster.partitions_for_topic(topic) for topic in topics}
    return {topic: len(partitions) for topic, partitions in counts.items() if partitions}
