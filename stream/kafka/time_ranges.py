"""The offsets of a topic that contain a range of event time: for a retraining event, and for a replay.

Alerts contain event times, but the timestamp of a Kafka record is the time at which it was produced, which is much later after an outage. No event is
produced before it happens, so a range begins at the first record produced at `since` or later. The end of the range is found by the event times of
the records.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader, partitions_of
from stream.wire import LogRange, event_time

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5
_POLL_MS = 200
#: The search ends at a record this much later than `until`, because the watermark waits for no source further behind.
LATE_SECONDS = 60.0


async def data_range(  # noqa: PLR0913 - where to read, what, and whom to report to
    options: Mapping[str, Any],
    topic: str,
    partitions: int,
    since: float,
    until: float | None,
    *,
    progress: Callable[[], None],
) -> LogRange:
    """Return the result of :func:`log_range`, read with a new consumer; wait while the topic cannot be read.

    For the same log and an `until`, the range is always the same, if no source delivers events more than a minute late. `progress` is
    called after each failed attempt, so that a watchdog does not end the wait.
    """
    while True:
        try:
            async with consumer_for(options) as consumer:
                return await log_range(consumer, topic, partitions, since, until)
        except READ_ERRORS as error:
            _log.warning("offsets of %s are not known (%s); retrying", topic, type(error).__name__)
        progress()
        await asyncio.sleep(_PAUSE_SECONDS)


async def log_range(
    consumer: AIOKafkaConsumer, topic: str, partitions: int, since: float | None, until: float | None
) -> LogRange:
    """Return the offsets of `topic` that contain the event times from `since` to `until`.

    A `since` of None means the first record, an `until` of None the end of the log. The started `consumer` must have no
    group; its assignment changes.
    """
    tps = partitions_of({topic: partitions})
    last: dict[TopicPartition, int] = await consumer.end_offsets(tps)
    if since is None:
        first: dict[TopicPartition, int] = await consumer.beginning_offsets(tps)
    else:
        first = await produced_since(consumer, since, last)
    if until is not None:
        near = await produced_since(consumer, until, last)
        last = {tp: await _last(consumer, tp, near[tp], last[tp], until) for tp in tps}
    return LogRange(
        topic=topic,
        first={str(tp.partition): first[tp] for tp in tps},
        last={str(tp.partition): last[tp] for tp in tps},
    )


async def produced_since(
    consumer: AIOKafkaConsumer, time: float, otherwise: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Return {partition: offset of its first record produced at `time` or later}.

    For a partition without such a record, the result contains its offset from `otherwise`.
    """
    found = await consumer.offsets_for_times(dict.fromkeys(otherwise, max(0, int(time * 1000))))
    return {
        tp: int(entry.offset) if (entry := found.get(tp)) is not None else offset for tp, offset in otherwise.items()
    }


async def _last(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int, until: float) -> int:
    """Return the offset after the last record with an event time up to `until`, or `start` if no such record exists."""
    reader = LogReader(consumer, {tp: start}, poll_ms=_POLL_MS)
    last = start
    while not reader.reached({tp: end}):
        for record in (await reader.read()).get(tp, ()):
            time = event_time(record.headers)
            # An event after its record was produced is that of a fast clock, and shows nothing about the next records.
            if time is not None and until + LATE_SECONDS < time <= record.timestamp / 1000:
                return last
            if time is not None and time <= until:
                last = int(record.offset) + 1
    return last
