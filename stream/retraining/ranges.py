"""Which offsets of the inference topic a request for retraining rests on."""

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.wire import LogRange

__all__ = ["data_range"]

logger = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5


async def data_range(options: dict[str, Any], topic: str, partitions: int, since: float, until: float) -> LogRange:
    """Return the offsets of `topic` between the event times `since` and `until`, by partition; it waits for the broker.

    The shipper stamps records with their event time, so that a replay of the same log comes to the same range. A partition
    without a record after `until` ends where it ends now.
    """
    while True:
        try:
            return await _ask(options, topic, partitions, since, until)
        except KafkaError as error:
            logger.warning("offsets of %s not known (%s); asking again", topic, type(error).__name__)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _ask(options: dict[str, Any], topic: str, partitions: int, since: float, until: float) -> LogRange:
    places = [TopicPartition(topic, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
    await consumer.start()
    try:
        first = await consumer.offsets_for_times(dict.fromkeys(places, int(since * 1000)))
        last = await consumer.offsets_for_times(dict.fromkeys(places, int(until * 1000) + 1))
        ends = await consumer.end_offsets(places)
    finally:
        await consumer.stop()

    def offset(found: dict[TopicPartition, Any], place: TopicPartition) -> int:
        return int(found[place].offset if found.get(place) is not None else ends[place])

    return LogRange(
        topic=topic,
        first={str(place.partition): offset(first, place) for place in places},
        last={str(place.partition): offset(last, place) for place in places},
    )
