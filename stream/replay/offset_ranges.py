"""The offsets that a replay reads, determined before the replay starts, and the part of the log that still exists."""

import asyncio
from collections.abc import Mapping

import msgspec
from aiokafka import AIOKafkaConsumer

from stream.archive.reader import archived_range
from stream.archive.segments import Archive
from stream.kafka.log_reader import partitions_of
from stream.replay.plan import ReplayRequest
from stream.wire import LogRange, TopicNames

#: Verdicts and findings are published within this time after their events; producers' clocks also differ by less.
_MARGIN_SECONDS = 60.0


class RetainedLog(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a topic that still exists. In the partitions `expired`, the oldest records were deleted.

    From production time `since` on, the topic is complete; `since` is None if the topic contains no record.
    """

    expired: tuple[int, ...]
    since: float | None


def topics_of(names: TopicNames, request: ReplayRequest) -> tuple[str, str]:
    """Return the topic to replay, and the topic that contains the recorded results."""
    return (names.signals, names.findings) if request.detector.over_streams else (names.inference, names.verdicts)


async def offset_ranges(  # noqa: PLR0913, PLR0917 - the log, and the part of it to read
    consumer: AIOKafkaConsumer,
    names: TopicNames,
    counts: Mapping[str, int],
    request: ReplayRequest,
    now: float,
    archive: Archive | None = None,
) -> tuple[LogRange, ...]:
    """Return the offsets to read of each topic; for a range in the past, the result is always the same.

    A range that reaches clock time `now` ends at the end of the log. `counts` is {topic: number of partitions}.
    """
    main, results = topics_of(names, request)
    ranges = []
    for topic in (main, results):
        is_results = topic == results
        if is_results and not any(version.recorded for version in request.versions):
            continue
        early = _MARGIN_SECONDS if is_results else 0.0
        late = _MARGIN_SECONDS if is_results or request.detector.over_streams else 0.0
        since = None if request.start is None else request.start - early
        until = None if request.until >= now else request.until + late
        ranges.append(await archived_range(consumer, topic, counts[topic], since, until, archive))
    return tuple(ranges)


async def retained_log(
    consumer: AIOKafkaConsumer, topic: str, partitions: int, archive: Archive | None = None
) -> RetainedLog:
    """Return which part of `topic` still exists, in Kafka or in `archive`."""
    every = partitions_of({topic: partitions})
    first = await consumer.beginning_offsets(every)
    oldest = await consumer.offsets_for_times(dict.fromkeys(every, 0))
    times = {partition: found.timestamp / 1000 for partition in every if (found := oldest.get(partition)) is not None}
    expired = []
    for partition in every:
        kept = None if archive is None else await asyncio.to_thread(archive.oldest, topic, partition.partition)
        begin, time = kept or (first[partition], times.get(partition))
        if time is not None:
            times[partition] = min(time, times.get(partition, time))
        if min(begin, first[partition]) > 0:
            expired.append(partition)
    since = [times[partition] for partition in expired if partition in times]
    return RetainedLog(
        expired=tuple(partition.partition for partition in expired),
        since=max(since) if since else min(times.values(), default=None),
    )
