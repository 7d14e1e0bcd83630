"""Reads the records that decide a dataset: pinned ranges of the log, found by a retraining request or by event time."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import count

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from stream.archive.reader import ArchivedRangeReader, archived_range
from stream.archive.segments import Archive, ArchivedRecord
from stream.content import readable_content
from stream.errors import DatasetRefused
from stream.kafka.clients import consumer_for
from stream.kafka.time_ranges import log_range
from stream.kafka.topic_checks import required_counts
from stream.loop.dataset.exchanges import ExchangeJoin
from stream.settings import KafkaSettings
from stream.wire import (
    CorrectionRecord,
    Feedback,
    LogRange,
    ModelRecord,
    RequestRecord,
    RetrainingRecord,
    RouteRecord,
    TopicNames,
    event_type,
)
from stream.wire.route_files import BASE

#: The states that may pin ranges: the request, and the approval, which includes what reviewers did in between.
_PINNING = ("requested", "approved")
_REVIEWS = frozenset({Feedback.event_type, CorrectionRecord.event_type})


class DatasetRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of a dataset: `ranges` of inference, verdicts, feedback and signals, in this order.

    `versions` is {name: version} as pinned by the retraining request. `parent` is the digest of the dataset of the
    version that was promoted before the request, or "".
    """

    tenant: str
    model: str
    ranges: tuple[LogRange, ...]
    retraining_id: str = ""
    versions: dict[str, str] = {}
    parent: str = ""


def topics_of(names: TopicNames) -> tuple[str, ...]:
    """Return the topics from which a dataset is built."""
    return names.inference, names.verdicts, names.feedback, names.signals


async def request_for(kafka: KafkaSettings, retraining_id: str, archive: Archive | None = None) -> DatasetRequest:
    """Return the sources that the retraining request `retraining_id` pinned.

    Topics without pins are read up to the event time of the request. Raises DatasetRefused if the log does not contain the
    request, and broker errors.
    """
    names = kafka.names
    counts = await required_counts(kafka.client_options(), (*topics_of(names), names.retraining, names.models))
    async with consumer_for(kafka.client_options()) as consumer:
        recorded = await _whole(consumer, names.retraining, counts[names.retraining])
        published = await _whole(consumer, names.models, counts[names.models])
        history = [one for one in recorded if isinstance(one, RetrainingRecord)]
        requested, approved = (
            [one for one in history if one.retraining_id == retraining_id and one.state == state] for state in _PINNING
        )
        # The stage publishes a request again after a crash, perhaps after its approval.
        pinning = [*requested[:1], *approved]
        pins = {pin.topic: pin for record in pinning for pin in (record.data, *record.pins) if pin is not None}
        if names.inference not in pins:
            raise DatasetRefused(
                f"{names.retraining} contains no request {retraining_id!r} with offsets; see `weir retraining` for the ids"
            )
        first, last = pinning[0], pinning[-1]
        since = await _oldest(consumer, pins[names.inference], archive)
        ranges = [
            pins.get(topic) or await archived_range(consumer, topic, counts[topic], since, last.at, archive)
            for topic in topics_of(names)
        ]
    return DatasetRequest(
        tenant=first.tenant,
        model=first.model,
        ranges=tuple(ranges),
        retraining_id=retraining_id,
        versions=last.versions or first.versions,
        parent=_parent(first, history, published),
    )


def _parent(request: RetrainingRecord, history: Sequence[RetrainingRecord], published: Sequence[object]) -> str:
    """Return the digest of the dataset of the version that was promoted before `request` and not rolled back, or "".

    The route and the records of versions outlive the retraining records, which expire. Only the newest route of a model
    survives compaction; if it is newer than the request, the states of the retraining requests decide.
    """
    key = request.tenant, request.model
    own = [one for one in history if (one.tenant, one.model) == key]
    models = [one for one in published if isinstance(one, ModelRecord) and (one.tenant, one.model) == key]
    routes = [one for one in published if isinstance(one, RouteRecord) and (one.tenant, one.model) == key]
    trained_on = {one.version: one.dataset_digest for one in models}
    trained_on |= {one.model_version: one.dataset_digest for one in own if one.dataset_digest}
    newest = max((one for one in routes if one.at < request.at), key=lambda one: one.epoch, default=None)
    promoted: list[str] = []
    for one in own:
        if one.at < request.at and one.state == "promoted":
            promoted.append(one.model_version)
        elif one.at < request.at and one.state == "rolled_back":
            promoted = [version for version in promoted if version != one.model_version]
    if newest is not None:  # an operator can have rolled back what was promoted
        promoted = [] if newest.champion == BASE else [*promoted, newest.previous, newest.champion]
    return next((digest for version in reversed(promoted) if (digest := trained_on.get(version))), "")


async def request_between(  # noqa: PLR0913, PLR0917 - a range of a tenant's log
    kafka: KafkaSettings,
    tenant: str,
    model: str,
    since: float | None,
    until: float | None,
    archive: Archive | None = None,
) -> DatasetRequest:
    """Return the ranges of the event times from `since` (None: the first record) to `until` (None: the end of the log)."""
    names = kafka.names
    counts = await required_counts(kafka.client_options(), topics_of(names))
    async with consumer_for(kafka.client_options()) as consumer:
        ranges = [
            await archived_range(consumer, topic, counts[topic], since, until, archive) for topic in topics_of(names)
        ]
    return DatasetRequest(tenant=tenant, model=model, ranges=tuple(ranges))


async def read_exchanges(
    kafka: KafkaSettings,
    request: DatasetRequest,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    archive: Archive | None = None,
) -> ExchangeJoin:
    """Read the ranges of `request`; `progress` receives the number of records read and their total, in both passes.

    The ranges are read twice: first to find the reviewed requests, then to collect the records about these requests. So
    memory depends on the number of reviews, not on the length of the log.

    Raises LogExpired if Kafka deleted a part of a range and `archive` does not contain it, and broker errors.
    """
    join = ExchangeJoin(request.tenant, request.model)
    total = 2 * sum(item.last[number] - first for item in request.ranges for number, first in item.first.items())
    read = _counted(progress, total)
    async with consumer_for(kafka.client_options()) as consumer:
        reviewed: set[str] = set()
        async for record in _records(consumer, request.ranges, archive):
            read()
            if event_type(record.headers) in _REVIEWS:
                event = readable_content(record.value, record.headers)
                reviewed |= (
                    {event.data.request_id} if event and isinstance(event.data, Feedback | CorrectionRecord) else set()
                )
        async for record in _records(consumer, request.ranges, archive):
            read()
            event = readable_content(record.value, record.headers)
            if event is not None and getattr(event.data, "request_id", "") in reviewed:
                join.add(event)
    progress(total, total)
    return join


def _counted(progress: Callable[[int, int], None], total: int) -> Callable[[], None]:
    """Return a function to call for each record; it reports the progress at every thousandth call."""
    numbers = count(1)

    def read() -> None:
        if (done := next(numbers)) % 1000 == 0:
            progress(done, total)

    return read


async def _records(
    consumer: AIOKafkaConsumer, ranges: Iterable[LogRange], archive: Archive | None
) -> AsyncIterator[ConsumerRecord | ArchivedRecord]:
    """Yield the records of `ranges`, partition by partition."""
    reader = await ArchivedRangeReader.open(consumer, ranges, archive)
    for item in ranges:
        for number in item.first:
            while (record := await reader.next(item.topic, int(number))) is not None:
                yield record


async def _whole(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> list[object]:
    """Return the data of the events that the log contains, in order within a partition."""
    whole = await log_range(consumer, topic, partitions, None, None)
    events = [readable_content(record.value, record.headers) async for record in _records(consumer, [whole], None)]
    return [event.data for event in events if event is not None]


async def _oldest(consumer: AIOKafkaConsumer, data: LogRange, archive: Archive | None) -> float | None:
    """Return the smallest event time of a request in `data`, or None if it contains none."""
    reader = await ArchivedRangeReader.open(consumer, [data], archive)
    times: list[float] = []
    for number in data.first:
        while (record := await reader.next(data.topic, int(number))) is not None:
            event = readable_content(record.value, record.headers)
            if event is not None and isinstance(event.data, RequestRecord):
                times.append(event.time)
                break
    return min(times, default=None)
