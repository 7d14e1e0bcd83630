"""Reading back what a partition still holds, for a state that cannot be read."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka.consumer import stop_consumer
from stream.wire import Event, WireError, decode

__all__ = ["committed", "retained"]

_POLL_MS = 500


async def retained(
    options: dict[str, Any], topic: str, partition: int, offsets: range, progress: Callable[[], None]
) -> AsyncIterator[tuple[int, Event]]:
    """Yield (offset, event) of what `topic`'s `partition` retains of `offsets`, in order.

    Parameters
    ----------
    options
        aiokafka connection arguments.
    progress
        Called after each poll, so that a watchdog sees a long replay go on.
    """
    place = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        if await consumer.position(place) < offsets.start:
            consumer.seek(place, offsets.start)
        while await consumer.position(place) < offsets.stop:
            records = await consumer.getmany(place, timeout_ms=_POLL_MS)
            for record in records.get(place, []):
                if record.offset < offsets.stop:
                    event = _decoded(record)
                    if event is not None:
                        yield record.offset, event
            progress()
    finally:
        await stop_consumer(consumer)


def _decoded(record: Any) -> Event | None:
    """Return the event, or None for what was a dead letter when it was first read, and for a tombstone."""
    try:
        return decode(record.value, record.headers)
    except WireError:
        return None


async def committed(options: dict[str, Any], group: str, topic: str, partition: int) -> int:
    """Return the offset that `group` has committed, 0 where it has committed none."""
    consumer = AIOKafkaConsumer(**options, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        return int(await consumer.committed(TopicPartition(topic, partition)) or 0)
    finally:
        await stop_consumer(consumer)
