"""Which offsets of a topic a stretch of event time rests on: for a request for retraining, and for a replay.

Why this exists: alerts carry event times, not offsets, and Kafka's own times say when a record was produced, which after an
outage is much later than when it happened. So a range begins where records were produced at `since` (nothing that happened
later was produced before), and its end is sought by the records' event times.
"""

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.kafka.consumer import started
from stream.wire import LogRange, parse_time

__all__ = ["data_range", "log_range"]

logger = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5
_POLL_MS = 200
#: The search ends at the first record that happened so long after `until`: no source that holds the watermark is further behind.
_MARGIN_SECONDS = 60.0


async def data_range(options: dict[str, Any], topic: str, partitions: int, since: float, until: float) -> LogRange:
    """Return the offsets of `topic` that hold the event times from `since` to `until`, by partition; it waits for the broker.

    The same log gives the same range, as long as no source delivers what is older than a minute.
    """
    while True:
        try:
            return await _ask(options, topic, partitions, since, until)
        except KafkaError as error:
            logger.warning("offsets of %s not known (%s); asking again", topic, type(error).__name__)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _ask(options: dict[str, Any], topic: str, partitions: int, since: float, until: float) -> LogRange:
    async with started(AIOKafkaConsumer(**options, enable_auto_commit=False)) as consumer:
        return await log_range(consumer, topic, partitions, since, until)


async def log_range(
    consumer: AIOKafkaConsumer, topic: str, partitions: int, since: float | None, until: float | None
) -> LogRange:
    """Return the offsets of `topic` that hold the event times from `since` to `until`; `consumer` is assigned anew.

    Parameters
    ----------
    consumer
        Started, of no group.
    since
        None: from the first record that is retained.
    until
        None: up to where the log ends now.
    """
    places = [TopicPartition(topic, number) for number in range(partitions)]
    last: dict[TopicPartition, int] = await consumer.end_offsets(places)
    if since is None:
        first = await consumer.beginning_offsets(places)
    else:
        first = await _produced_at(consumer, places, since, last)
    if until is not None:
        near = await _produced_at(consumer, places, until, last)
        last = {place: await _last(consumer, place, near[place], last[place], until) for place in places}
    return LogRange(
        topic=topic,
        first={str(place.partition): first[place] for place in places},
        last={str(place.partition): last[place] for place in places},
    )


async def _produced_at(
    consumer: Any, places: list[TopicPartition], time: float, ends: dict[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Return the first offsets that were produced at `time` or later, or the ends."""
    found = await consumer.offsets_for_times(dict.fromkeys(places, max(0, int(time * 1000))))
    return {place: int(found[place].offset) if found.get(place) is not None else ends[place] for place in places}


async def _last(consumer: Any, place: TopicPartition, start: int, end: int, until: float) -> int:
    """Return one past the last record from `start` on that happened by `until`; `start` where there is none."""
    consumer.assign([place])
    consumer.seek(place, start)
    last = start
    while await consumer.position(place) < end:
        for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, []):
            time = _time(record)
            if time is not None and time > until + _MARGIN_SECONDS:
                return last
            if time is not None and time <= until:
                last = int(record.offset) + 1
    return last


def _time(record: Any) -> float | None:
    """Return a record's event time, or None where it has none that can be read."""
    try:
        return parse_time(dict(record.headers)["ce_time"].decode())
    except (KeyError, ValueError, OverflowError):
        return None
