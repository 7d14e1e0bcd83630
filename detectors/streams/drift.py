"""Drift of a stream: whether what arrives now is still like what it began with.

Embeddings are judged by their distance to the nearest of a reference (the stream's first embeddings) and by their
nearness to its topics, numeric features by their own history; one alarm budget holds for all (`detectors.streams.monitor`).
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import AlertText, Finding, Observation, StreamDetector, restoring, seal, unseal
from detectors.models.embedding import unpack, unpack_many
from detectors.streams.clusters import Topics, TopicsState
from detectors.streams.conversations import TURNS
from detectors.streams.monitor import Budget, Feature, MonitorState
from detectors.streams.numeric_features import MomentsState, NumericFeatures, scores_of
from detectors.streams.river_monitor import E_DETECTOR, RiverState, monitor_for
from detectors.streams.sequential_tests import tie_break

__all__ = ["EMBEDDING", "TOPICS", "DriftConfig", "DriftDetector"]

EMBEDDING = "embedding"
TOPICS = "topics"
Vectors = NDArray[np.float32]
#: How large a part of the reference is near to a topic, twice: its core, and it with its surroundings.
_NEAR = (0.1, 0.25)
#: Equal distances are told apart by so much, at random.
_TIE = 1e-6
#: So many embeddings of another version in a row begin the reference anew; fewer are a worker that is being replaced.
_RENEW = 20
#: Share of the first embeddings that is not part of the reference, but the first history of distances to it.
_HELD_OUT = 3


class DriftConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the drift detector.

    Attributes
    ----------
    alarm_every_events
        The budget: events between two false alarms, on average, at least.
    alarm_every_days
        The same budget in days of event time; it replaces the one in events.
    reference_events
        Embeddings (and values of each feature) that are taken as normal.
    neighbours
        Distance is the mean over this many nearest references.
    topics
        Clusters of the reference that are watched for growth, at most; 0 watches distance alone.
    features
        Numeric features watched beside the embedding, both tails.
    embedding_share
        The embedding's share of the budget, its topics included; the features divide the rest.
    daily_cycle
        Whether values are compared with those of the same half-hour of the day (UTC) alone, so that a daily cycle is no
        change. A change at a time of the day of which little was seen yet is told later.
    conversation_events
        Window, in events: one event a conversation is looked at in it, and the others are suppressed; 0 looks at every event.
    conversation_turns
        A conversation of at most so many turns in the window is looked at once. An id with more turns suppresses at most half of its
        API key's events in the window.
    method
        ``e-detector``, or one of river's, which know no budget: ``adwin``, ``kswin``, ``page-hinkley``.
    method_threshold
        ADWIN's delta, KSWIN's alpha, Page-Hinkley's threshold; river's default when left out.
    seed
        Breaks ties between equal ranks, together with the event's id.
    """

    alarm_every_events: Annotated[int, Meta(ge=10)] = 10_000
    alarm_every_days: Annotated[float, Meta(gt=0)] | None = None
    reference_events: Annotated[int, Meta(ge=8, le=2_000)] = 200
    neighbours: Annotated[int, Meta(ge=1, le=50)] = 3
    topics: Annotated[int, Meta(ge=0, le=64)] = 8
    features: tuple[str, ...] = ("characters", "words")
    embedding_share: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    daily_cycle: bool = True
    conversation_events: Annotated[int, Meta(ge=0, le=2_000)] = 512
    conversation_turns: Annotated[int, Meta(ge=1, le=2_000)] = TURNS
    method: Literal["e-detector", "adwin", "kswin", "page-hinkley"] = "e-detector"
    method_threshold: Annotated[float, Meta(gt=0)] | None = None
    seed: int = 0


class _State(msgspec.Struct, frozen=True, kw_only=True):
    reference: list[bytes]
    embedding_version: str
    others: int
    topics: TopicsState
    monitor: MonitorState | RiverState
    moments: dict[str, MomentsState]


class DriftDetector(StreamDetector[DriftConfig]):
    """Distance to a reference, nearness to its topics, and numeric features, under one alarm budget.

    Notes
    -----
    State: two thirds of ``reference_events`` as packed embeddings (192 bytes each), the topics' centres, and the regions'
    counts. An update costs two products with the reference and the centres, and the monitor's; it does not grow with the
    stream.
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[str] = "3"
    config_type: ClassVar[type[msgspec.Struct]] = DriftConfig
    alert: ClassVar[AlertText] = AlertText(
        subject="drift",
        runbook="Find out whether a new use or client explains the change; if the change is permanent, retrain; else find "
        "the API key that sends these requests.",
    )

    def __init__(self, config: DriftConfig | None = None) -> None:
        super().__init__(config)
        self._reset()

    def _reset(self) -> None:
        config = self.config
        held_out = max(4, config.reference_events // _HELD_OUT)
        self._size = config.reference_events - held_out
        # River's detectors read the distance alone: a state of eight more of them would be large.
        self._topic_count = min(config.topics, self._size // 2) if config.method == E_DETECTOR else 0
        share = config.embedding_share if config.features else 1.0
        part = share / 2 if self._topic_count else share
        features = {EMBEDDING: Feature(share=part, tails=1, warm_up=held_out)}
        if self._topic_count:
            features[TOPICS] = Feature(share=part, tails=1, warm_up=held_out, scores=self._topic_count, fractions=_NEAR)
        for name in config.features:
            features[name] = Feature(share=(1 - share) / len(config.features), tails=2, warm_up=config.reference_events)
        budget = Budget(
            limit=config.alarm_every_days or config.alarm_every_events,
            days=config.alarm_every_days is not None,
            daily=config.daily_cycle,
            conversation_events=config.conversation_events,
            conversation_turns=config.conversation_turns,
        )
        self._monitor = monitor_for(features, budget, config.method, config.method_threshold)
        self._distance = self._monitor.columns(EMBEDDING)
        self._nearness = self._monitor.columns(TOPICS) if self._topic_count else slice(0, 0)
        self._numbers = NumericFeatures(config.features)
        self._begin("")

    def _begin(self, version: str) -> None:
        self._topics = Topics()
        self._version, self._others = version, 0
        self._reference: list[bytes] = []
        self._matrix: Vectors | None = None

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Take one closed bucket; see `StreamDetector.update_many`."""
        at = 0
        while at < len(observations):
            block = observations[at:] if self._steady(observations[at:]) else observations[at : at + 1]
            self._update(block)
            at += len(block)
        finding = self._monitor.close()
        if finding is None:
            return None
        if finding.feature in (EMBEDDING, TOPICS):
            since = finding.details["events"] - finding.details["changed_events_ago"]
            return msgspec.structs.replace(finding, details=finding.details | self._topics.details(since))
        return self._numbers.explain(finding)

    def _steady(self, observations: Sequence[Observation]) -> bool:
        """Whether none of these events is part of the reference or begins another: their embeddings can be read at once."""
        if len(self._reference) < self._size:
            return False
        return self._others == 0 and all(
            not one.embedding or one.embedding_version == self._version for one in observations
        )

    def _update(self, block: Sequence[Observation]) -> None:
        monitor, numbers = self._monitor, self._numbers
        looked = [monitor.looks_at(observation) for observation in block]
        drawn = [
            tie_break(self.config.seed, observation.id) if mine else (0.0, 0.0)
            for observation, mine in zip(block, looked, strict=True)
        ]
        ties, chances = [tie for tie, _ in drawn], [chance for _, chance in drawn]
        scores = np.full((len(block), len(monitor.blank)), np.nan)
        values = numbers.read(block, looked)
        for name, column in values.items():
            scores[:, monitor.columns(name).start] = scores_of(column, ties)
        self._embedded(block, looked, scores, ties)
        numbers.update(values, monitor.update_many(block, looked, scores, chances))

    def _embedded(
        self, block: Sequence[Observation], looked: Sequence[bool], scores: NDArray[np.float64], ties: Sequence[float]
    ) -> None:
        """Write what is read from the embeddings; nothing without one, or while the reference fills."""
        read = [place for place, observation in enumerate(block) if looked[place] and self._readable(observation)]
        if not read:
            return
        vectors = unpack_many([block[place].embedding or b"" for place in read])
        whole: NDArray[np.bool_] = np.all(np.isfinite(vectors), axis=1)
        if len(self._reference) < self._size:
            if whole[0]:
                self._remember(block[read[0]])
            return
        if not whole.all():
            read = [place for place, fine in zip(read, whole, strict=True) if fine]
            vectors = vectors[whole]
        self._measure(np.array(read, dtype=np.intp), vectors, scores, np.array([ties[place] for place in read]) * _TIE)

    def _readable(self, observation: Observation) -> bool:
        """Whether an event has an embedding of the reference's version and length, or one that a reference begins with."""
        data = observation.embedding
        if data and observation.embedding_version != self._version and not self._renewed(observation.embedding_version):
            return False
        if not data or len(data) % 2 or (self._reference and len(data) != len(self._reference[0])):
            return False
        self._others = 0
        return True

    def _remember(self, observation: Observation) -> None:
        """Add to the reference; enough of it has topics."""
        self._reference.append(observation.embedding or b"")
        if len(self._reference) == self._size and self._topic_count:
            self._topics.begin(self._vectors(), self._topic_count)

    def _measure(
        self, places: NDArray[np.intp], vectors: Vectors, scores: NDArray[np.float64], ties: NDArray[np.float64]
    ) -> None:
        """Write the distance of each vector to the reference, and its nearness to the topics.

        One product a vector: a product of all of them has other last bits, which would depend on the bucket.
        """
        rows = self._rows()
        similarities = np.empty((len(vectors), len(rows)), dtype=np.float32)
        for vector, row in zip(vectors, similarities, strict=True):
            np.dot(rows, vector, out=row)
        count, nearest = self._size, min(self.config.neighbours, self._size)
        largest = np.partition(similarities[:, :count], -nearest, axis=1)[:, -nearest:]
        distances = np.add.reduce(np.ascontiguousarray(largest), axis=1).astype(np.float64) / nearest
        scores[places, self._distance.start] = ties - distances
        if self._topic_count:
            near = similarities[:, count:]
            self._topics.update_many((self._monitor.events + places).tolist(), near)
            scores[places, self._nearness] = near + ties.astype(np.float32)[:, None]

    def _renewed(self, version: str) -> bool:
        """Whether embeddings of this other version are read from now on: distances between versions mean nothing."""
        self._others += 1
        if self._reference and self._others < _RENEW:
            return False
        if self._reference:
            self._monitor.renew(*((EMBEDDING, TOPICS) if self._topic_count else (EMBEDDING,)))
        self._begin(version)
        return True

    def _rows(self) -> Vectors:
        """Return the reference and the topics' centres as rows, unpacked when first needed: most streams are idle."""
        if self._matrix is None:
            centres = [] if self._topics.centres is None else [self._topics.centres]
            self._matrix = np.vstack([self._vectors(), *centres])
        return self._matrix

    def _vectors(self) -> Vectors:
        return np.stack([unpack(data) for data in self._reference])

    def snapshot(self) -> bytes:
        """Return the state; see `StreamDetector.snapshot`."""
        state = _State(
            reference=list(self._reference),
            embedding_version=self._version,
            others=self._others,
            topics=self._topics.snapshot(),
            monitor=self._monitor.snapshot(),
            moments=self._numbers.snapshot(),
        )
        return seal(self, state)

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot; see `StreamDetector.restore`."""
        body = unseal(self, state, _State)
        with restoring(self):
            self._reset()
            self._monitor.restore(body.monitor)
            self._numbers.restore(body.moments)
            self._topics.restore(body.topics)
            sizes = {len(data) for data in body.reference}
            if len(sizes) > 1 or any(size % 2 for size in sizes):
                raise ValueError(f"a reference has embeddings of one even length, the state of {sorted(sizes)}")
            self._reference = list(body.reference)
            self._version, self._others = body.embedding_version, body.others
