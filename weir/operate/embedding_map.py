"""A map of a stream's embeddings before and after a change, computed on request from the signals in Kafka; nothing is stored."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition
from numpy.typing import NDArray

from detectors.models.embedding import unpack, unpack_many
from detectors.streams.drift import DriftConfig, DriftDetector, Reference
from detectors.streams.embedding_map import principal_plane
from stream.count_text import count_text
from stream.errors import BrokerError, kafka_problem
from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader
from stream.kafka.time_ranges import LATE_SECONDS, produced_since
from stream.kafka.topic_checks import required_counts
from stream.ledger.queries.console_queries import LedgerPages
from stream.ledger.window_history import StreamName
from stream.settings import KafkaSettings, tenant_settings
from stream.stages.watch.buckets import observation_of
from stream.wire import Signal, event_time, partition_for, readable, stream_key
from weir.operate.cluster_terms import DRIFT, Term, texts_of, typical_terms

#: Maximum number of records to read for the reference, and before and after `until` for the recent events. All streams of a partition share its records.
_SCANNED = 500_000
#: Maximum number of points of each set: evenly spaced events of a larger reference, and the newest recent events.
_POINTS = 1_000
#: The reference is searched in this many signals per event of the reference, because it has one event per conversation.
_SEARCHED = 4
_LEAST_RECENT = 5
#: Requests nearest to a cluster's centre that describe it, of the reference and of the recent events each.
_NEAREST = 10
_EXAMPLES = 2
_EXAMPLE_CHARACTERS = 300
_DAY_SECONDS = 86_400.0
_DECIMALS = 4
_SAME = 1e-9
_LIMITED = f"{_SCANNED:,} records were searched, and they have {{}}: the others are ticks, or of other streams in the same partition."
_POLL_MS = 200


class MapQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The stream of a map, as in :class:`stream.ledger.window_history.StreamName`, and the event times of its recent events.

    `since` is the time of the change; None selects the newest events after the reference.
    """

    tenant: str
    model: str
    side: str
    until: float
    since: float | None = None

    def stream_names(self) -> tuple[str, str, str]:
        """Return side, part group and trained version of the stream."""
        named, _, version = self.side.partition("@")
        side, _, part = named.partition("/")
        return side, part, version


class MapPoints(msgspec.Struct, frozen=True, kw_only=True):
    """The points as columns: those of the reference first, then the recent ones; each set is ordered by time.

    `cluster` is the number of the nearest cluster, or -1 without clusters.
    """

    request_id: list[str]
    time: list[float]
    x: list[float]
    y: list[float]
    recent: list[bool]
    cluster: list[int]


class MapCluster(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster of the reference: its centre on the map, and its numbers and shares (0 to 1) of events before and after.

    `near_recent` and `near_reference` are the up to 10 requests of each set that are nearest to the centre.
    """

    cluster: int
    x: float
    y: float
    reference: int
    recent: int
    before: float
    after: float
    near_recent: tuple[str, ...]
    near_reference: tuple[str, ...]


class EmbeddingMap(msgspec.Struct, frozen=True, kw_only=True):
    """A map; if it cannot be computed, `missing` is the reason and the rest is empty.

    `variance` are the shares of the variance, in [0, 1], that the axes show. `reference` and `recent` are the numbers of events
    that were compared; at most 1,000 of each are points. `detector_clusters` is whether the clusters are those of the drift
    detector, to which the numbers in its findings refer; None if no finding has numbers to compare.
    """

    missing: str = ""
    reference: int = 0
    recent: int = 0
    variance: tuple[float, float] = (0.0, 0.0)
    points: MapPoints | None = None
    clusters: tuple[MapCluster, ...] = ()
    detector_clusters: bool | None = None


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a text, at most 300 characters."""

    request_id: str
    text: str


class ClusterText(msgspec.Struct, frozen=True, kw_only=True):
    """The terms that distinguish a cluster's `texts` texts from the reference's texts in other clusters, and two examples."""

    cluster: int
    terms: tuple[Term, ...]
    texts: int
    other_texts: int
    examples: tuple[Example, ...]


async def embedding_map(
    kafka: KafkaSettings, pages: LedgerPages, tenants: Mapping[str, Mapping[str, Any]], query: MapQuery
) -> EmbeddingMap:
    """Return the map of a stream; raises BrokerError or TopicMissing.

    The reference is found by a new drift detector, which reads the stream's first signals. So the clusters are those of
    the detector that raised the alert, if the log still has these signals.
    """
    options = tenant_settings(tenants, query.tenant).detector_options(DRIFT)
    config = msgspec.convert(options, DriftConfig, strict=False)
    began = await asyncio.to_thread(pages.first_request, query.tenant, query.model)
    if began is None:
        return EmbeddingMap(missing="The ledger has no request of this tenant and model.")
    try:
        async with consumer_for(kafka.client_options()) as consumer:
            earliest, recent = await _signals(consumer, kafka, query, began, config)
    except READ_ERRORS as error:
        raise BrokerError(
            f"the signals cannot be read: {kafka_problem(kafka.bootstrap_servers, error)}; see `weir status`"
        ) from error
    details = await asyncio.to_thread(_finding_details, pages, query)
    return await asyncio.to_thread(_computed, config, earliest, recent, details)


async def cluster_texts(
    kafka: KafkaSettings, pages: LedgerPages, found: EmbeddingMap, query: MapQuery, log_access: Callable[[str], None]
) -> list[ClusterText]:
    """Describe each cluster of a map by texts of its nearest requests; each access is logged first. Raises BrokerError."""
    side, part, _ = query.stream_names()
    wanted = dict.fromkeys(name for one in found.clusters for name in one.near_recent + one.near_reference)
    texts = await texts_of(kafka, pages, wanted, side, part, log_access)

    def known(names: Iterable[str]) -> list[str]:
        return [name for name in names if name in texts]

    described = []
    for cluster in found.clusters:
        own = known(dict.fromkeys(cluster.near_recent + cluster.near_reference))
        # Recent texts of other clusters are left out: after a change to a new subject they are like those of this cluster.
        others = known(name for one in found.clusters if one is not cluster for name in one.near_reference)
        described.append(
            ClusterText(
                cluster=cluster.cluster,
                terms=typical_terms([texts[name] for name in own], [texts[name] for name in others]),
                texts=len(own),
                other_texts=len(others),
                examples=tuple(
                    Example(request_id=name, text=texts[name][:_EXAMPLE_CHARACTERS]) for name in own[:_EXAMPLES]
                ),
            )
        )
    return described


async def _signals(
    consumer: AIOKafkaConsumer, kafka: KafkaSettings, query: MapQuery, began: float, config: DriftConfig
) -> "tuple[_Wanted, _Wanted]":
    """Return the earliest signals of the stream before the change, and the newest ones since it."""
    topic = kafka.names.signals
    count = (await required_counts(kafka.client_options(), [topic]))[topic]
    side, part, version = query.stream_names()
    key = stream_key(query.tenant, query.model, side, part, version)
    tp = TopicPartition(topic, partition_for(key, count))
    end = (await consumer.end_offsets([tp]))[tp]

    async def offset(time: float) -> int:
        return (await produced_since(consumer, time, {tp: end}))[tp]

    changed = query.until if query.since is None else query.since
    first = await offset(began - LATE_SECONDS)
    earliest = _Wanted(key, 0.0, changed, max(_POINTS, _SEARCHED * config.reference_events))
    await _read(consumer, tp, range(first, first + _SCANNED), end, earliest)
    since, until = first if query.since is None else await offset(query.since), await offset(query.until)
    recent = _Wanted(key, query.since or 0.0, query.until)
    await _read(consumer, tp, range(max(since, until - _SCANNED), until + _SCANNED), end, recent)
    recent.limited |= until - _SCANNED > since
    return earliest, recent


class _Wanted:
    """Collects the signals of the stream `key` with an embedding and an event time in ``[since, until)``, each once.

    :attr:`done` is true after `most` signals, or after an event past the end. Without `most`, only the newest 1,000 are kept. :attr:`limited` is
    whether the log has records that were not read because of :data:`_SCANNED`.
    """

    def __init__(self, key: str, since: float, until: float, most: int | None = None) -> None:
        self._key = key.encode()
        self._since, self._until = since, until
        self._most = most
        self._found: dict[str, Signal] = {}
        self.done = self.limited = False

    def add(self, record: ConsumerRecord) -> None:
        """Keep the signal in `record` if it is wanted; duplicates are ignored. An event that is newer than its record is that of a fast clock."""
        time = event_time(record.headers)
        if time is not None and self._until + LATE_SECONDS < time <= record.timestamp / 1000:
            self.done = True
        event = readable(record.value, record.headers) if record.key == self._key else None
        if event is None or not isinstance(event.data, Signal):
            return
        signal = event.data
        if not signal.embedding or not self._since <= signal.time < self._until:
            return
        self._found.setdefault(signal.event_id, signal)
        if self._most is not None:
            self.done |= len(self._found) >= self._most
        elif len(self._found) >= 2 * _POINTS:
            self._found = {signal.event_id: signal for signal in self.signals()}

    def signals(self) -> list[Signal]:
        """Return the signals ordered by time."""
        ordered = sorted(self._found.values(), key=lambda signal: (signal.time, signal.event_id))
        return ordered if self._most is not None else ordered[-_POINTS:]


async def _read(consumer: AIOKafkaConsumer, tp: TopicPartition, offsets: range, end: int, wanted: _Wanted) -> None:
    """Read `offsets` until `wanted` is done, or the `end` of the log is reached."""
    stop = min(offsets.stop, end)
    reader = LogReader(consumer, {tp: offsets.start}, poll_ms=_POLL_MS)
    while not wanted.done and not reader.reached({tp: stop}):
        for record in (await reader.read()).get(tp, ()):
            if record.offset < stop:
                wanted.add(record)
    wanted.limited = stop < end and not wanted.done


def _finding_details(pages: LedgerPages, query: MapQuery) -> Mapping[str, float]:
    """Return the numbers of the newest alarm up to the end of the map, or of the newest window."""
    name = StreamName(tenant=query.tenant, model=query.model, side=query.side, detector=DRIFT)
    series = pages.series(name, query.until - _DAY_SECONDS, query.until)
    window = series.changed or series.latest
    return window.details if window is not None else {}


def _computed(config: DriftConfig, first: _Wanted, newest: _Wanted, details: Mapping[str, float]) -> EmbeddingMap:
    """Compare the reference among the `first` signals with the `newest` ones."""
    earliest, recent = first.signals(), newest.signals()
    version = (recent or earliest)[-1].embedding_version if recent or earliest else ""
    detector = DriftDetector(config)
    known = [signal for signal in earliest if signal.embedding_version == version]
    detector.update_many([observation_of(signal) for signal in known])
    reference = detector.reference()
    before = _in_order(known, reference)
    if len(before) < reference.size:
        found = f"{len(before)} of the {reference.size} events of the reference"
        expired = "the stream is new, or its first signals have expired and too few are left from before the change."
        return EmbeddingMap(missing=_LIMITED.format(found) if first.limited else f"The log has {found}: {expired}")
    used = {signal.event_id for signal in before}
    size = len(reference.embeddings[0])
    after = [signal for signal in recent if signal.event_id not in used and _readable(signal, version, size)]
    if len(after) < _LEAST_RECENT:
        found = f"{count_text(len(after), 'recent event')} with an embedding, and a map needs {_LEAST_RECENT}"
        expired = "there are too few yet, or their signals have expired."
        return EmbeddingMap(missing=_LIMITED.format(found) if newest.limited else f"The log has {found}: {expired}")
    return _drawn(before, after, reference, details)


def _in_order(signals: Sequence[Signal], reference: Reference) -> list[Signal]:
    """Return the signals whose embeddings are the reference, in the order of the reference."""
    left = iter(signals)
    return [next(signal for signal in left if signal.embedding == embedding) for embedding in reference.embeddings]


def _readable(signal: Signal, version: str, size: int) -> bool:
    data = signal.embedding or b""
    return signal.embedding_version == version and len(data) == size and bool(np.isfinite(unpack(data)).all())


def _drawn(
    before: Sequence[Signal], after: Sequence[Signal], reference: Reference, details: Mapping[str, float]
) -> EmbeddingMap:
    signals = [*before, *after]
    vectors = unpack_many([signal.embedding or b"" for signal in signals])
    recent = np.arange(len(signals)) >= len(before)
    plane = principal_plane(vectors[~recent], vectors[recent])
    labels = np.full(len(signals), -1)
    clusters: tuple[MapCluster, ...] = ()
    if reference.centres is not None:
        similar = vectors @ reference.centres.T
        labels = similar.argmax(axis=1)
        places = plane.project(reference.centres).round(_DECIMALS).tolist()
        clusters = tuple(
            _cluster(number, place, np.where(labels == number, similar[:, number], -np.inf), recent, signals)
            for number, place in enumerate(places)
        )
    shown = np.concatenate([_spread(len(before)), np.flatnonzero(recent)])
    at = plane.project(vectors[shown]).round(_DECIMALS)
    points = MapPoints(
        request_id=[signals[index].request_id for index in shown],
        time=[signals[index].time for index in shown],
        x=at[:, 0].tolist(),
        y=at[:, 1].tolist(),
        recent=recent[shown].tolist(),
        cluster=labels[shown].tolist(),
    )
    return EmbeddingMap(
        reference=len(before),
        recent=len(after),
        variance=plane.variance,
        points=points,
        clusters=clusters,
        detector_clusters=_is_of_detector(reference, details),
    )


def _cluster(
    number: int,
    place: Sequence[float],
    similarity: NDArray[np.float32],
    recent: NDArray[np.bool_],
    signals: Sequence[Signal],
) -> MapCluster:
    """Return a cluster; `similarity`, (n,), is that of the cluster's events to its centre, and -inf for other events."""
    own = np.isfinite(similarity)
    ordered = [int(index) for index in np.argsort(-similarity, kind="stable") if own[index]]
    near = [
        tuple(signals[index].request_id for index in ordered if recent[index] == late)[:_NEAREST]
        for late in (True, False)
    ]
    counts = [int((own & side).sum()) for side in (~recent, recent)]
    return MapCluster(
        cluster=number,
        x=place[0],
        y=place[1],
        reference=counts[0],
        recent=counts[1],
        before=counts[0] / int((~recent).sum()),
        after=counts[1] / int(recent.sum()),
        near_recent=near[0],
        near_reference=near[1],
    )


def _is_of_detector(reference: Reference, details: Mapping[str, float]) -> bool | None:
    """Whether the clusters that a finding names have the same shares of the reference here; None if it names none."""
    named = [
        (int(details[name]), details[share])
        for name, share in (("topic_before", "topic_before_share"), ("topic_since", "topic_since_share_before"))
        if name in details and share in details
    ]
    shares = reference.shares
    return all(n < len(shares) and abs(shares[n] - share) < _SAME for n, share in named) if named else None


def _spread(count: int) -> NDArray[np.intp]:
    """Return at most 1,000 evenly spaced indices below `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(np.intp))
