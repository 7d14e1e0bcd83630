"""Which offsets a replay reads, fixed before it begins, and whether the log still has all of them."""

from collections.abc import Mapping

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from stream.kafka.time_ranges import log_range
from stream.replay.plan import ReplayRequest
from stream.wire import LogRange, TopicNames

__all__ = ["Left", "ranges_of", "topics_of", "what_is_left"]

#: What was said about the range's last events stands a little behind them; clocks of producers differ by less.
_MARGIN_SECONDS = 60.0


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a topic still holds.

    Parameters
    ----------
    expired
        Partitions whose beginning is gone.
    since
        From then on nothing is gone, by the times at which records were produced; None where no record is left.
    """

    expired: tuple[int, ...]
    since: float | None


def topics_of(names: TopicNames, asked: ReplayRequest) -> tuple[str, str]:
    """Return the topic that is replayed, and the one with what was said about it at the time."""
    return (names.signals, names.findings) if asked.detector.over_streams else (names.inference, names.verdicts)


async def ranges_of(
    consumer: AIOKafkaConsumer, names: TopicNames, counts: Mapping[str, int], asked: ReplayRequest, now: float
) -> tuple[LogRange, ...]:
    """Return the offsets to be read of each topic; of a range that ends in the past they are always the same.

    Parameters
    ----------
    consumer
        Started, of no group.
    names, counts
        Topic names, and the partitions of each topic.
    asked
        What is asked for.
    now
        Where the log ends, by the clock: a range that reaches so far ends where the log ends.
    """
    main, beside = topics_of(names, asked)
    found = []
    for topic in (main, beside):
        recorded = topic == beside
        if recorded and not any(version.recorded for version in asked.versions):
            continue
        early = _MARGIN_SECONDS if recorded else 0.0
        late = _MARGIN_SECONDS if recorded or asked.detector.over_streams else 0.0
        since = None if asked.start is None else asked.start - early
        until = None if asked.until >= now else asked.until + late
        found.append(await log_range(consumer, topic, counts[topic], since, until))
    return tuple(found)


async def what_is_left(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> Left:
    """Return what `topic` still holds."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    begins = await consumer.beginning_offsets(places)
    oldest = await consumer.offsets_for_times(dict.fromkeys(places, 0))
    expired = [place for place in places if begins[place] > 0]
    times = [oldest[place].timestamp / 1000 for place in places if oldest.get(place) is not None]
    gone = [oldest[place].timestamp / 1000 for place in expired if oldest.get(place) is not None]
    return Left(
        expired=tuple(place.partition for place in expired),
        since=max(gone) if gone else min(times, default=None),
    )
