"""Drift detector: tests whether current events of a stream are distributed like its first events, the reference.

An embedding has three kinds of scores: its distance to the nearest reference embeddings, its similarity to the clusters
of the reference, and its position in the direction in which the last events differ from the reference. Numeric features
are compared with their own history. All scores share one alarm budget (`detectors.streams.monitor`).
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import AlertText, Finding, Observation, StreamDetector
from detectors.models.embedding import Vectors, unpack_many
from detectors.snapshots import restoring, seal, unseal
from detectors.streams.clusters import Clusters, ClustersState
from detectors.streams.monitor import Feature, Inputs, MonitorState
from detectors.streams.numeric_features import SIZES, Moments, NumericFeatures
from detectors.streams.river_monitor import E_DETECTOR, MonitorConfig, RiverState
from detectors.streams.witness import Witness

EMBEDDING = "embedding"
CLUSTERS = "topics"  # the name in findings and snapshots
#: The two regions of a cluster: these shares of the reference are nearest to its centre. The witness uses the same shares.
_NEAR = (0.1, 0.25)
#: Largest number of events that are processed together: each has a similarity to every embedding of the reference in memory.
_BLOCK = 512
#: Size of the random tie-break between equal distances.
_TIE = 1e-6
#: This many consecutive embeddings of another version restart the reference; while a worker is replaced, there are fewer.
_RENEW = 20
#: One in this many of the first embeddings is not in the reference; the distances of these embeddings to the reference are the first history.
_HELD_OUT = 3


#: The numeric features of signals (`stream.stages.score`), besides ``score_`` and the name of a text detector.
_NUMERIC = (*SIZES, "error", "cancelled")
_SCORE = "score_"


class DriftConfig(MonitorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the drift detector.

    Attributes
    ----------
    neighbours
        The score of an embedding is its mean distance to this many nearest embeddings of the reference.
    topics
        Maximum number of reference clusters that are tested for growth. 0 tests only the distance: neither clusters nor the direction in
        which the last events differ from the reference.
    features
        Numeric features that are tested besides the embedding, each for large and for small values: ``characters``, ``words``, ``messages``,
        ``prompt_tokens``, ``completion_tokens``, ``latency_seconds``, ``time_to_first_token_seconds``, ``error``, ``cancelled``,
        ``tool_calls``, or ``score_`` and the name of a text detector.
    embedding_share
        Share of the budget for the embedding and its clusters; the numeric features divide the rest equally.
    min_share
        An alarm needs a share of the events, in [0, 1], that differs from the reference's share by at least this much. A smaller change
        can be significant, but is too small to act on; its finding has the detail ``too_small``. 0: no minimum.
    """

    neighbours: Annotated[int, Meta(ge=1, le=50)] = 3
    topics: Annotated[int, Meta(ge=0, le=64)] = 8
    features: tuple[str, ...] = ("characters", "words")
    embedding_share: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    min_share: Annotated[float, Meta(ge=0, lt=1)] = 0.05

    def __post_init__(self) -> None:
        for name in self.features:
            if name not in _NUMERIC and not name.startswith(_SCORE):
                raise ValueError(
                    f"no feature is named {name!r}; known are {', '.join(_NUMERIC)}, and {_SCORE} with a text detector's name"
                )


class _State(msgspec.Struct, frozen=True, kw_only=True):
    reference: list[bytes]
    embedding_version: str
    others: int
    topics: ClustersState
    recent: list[bytes]
    monitor: MonitorState | RiverState
    moments: dict[str, Moments]


class Reference(NamedTuple):
    """The packed embeddings of a reference in order, its size when it is complete, and its clusters' centres, (clusters, d), and shares.

    `centres` is None while the reference is incomplete, and without clusters.
    """

    embeddings: tuple[bytes, ...]
    size: int
    centres: Vectors | None
    shares: tuple[float, ...]


class DriftDetector(StreamDetector[DriftConfig]):
    """Detector that tests numeric features, and compares embeddings with the reference and the reference's clusters.

    Notes
    -----
    State: packed embeddings of 192 bytes (two thirds of ``reference_events``, and the last 25 events), the clusters' centres,
    and the counts of the regions. The cost of an update does not grow with the number of events.
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[str] = "8"
    config_type: ClassVar[type[msgspec.Struct]] = DriftConfig
    alert: ClassVar[AlertText] = AlertText(
        subject="drift",
        runbook="Find out whether a new use or client explains the change; if the change is permanent, retrain; else find "
        "the API key that sends these requests.",
    )
    stateless_options: ClassVar[tuple[str, ...]] = ("min_share",)

    def __init__(self, config: DriftConfig | None = None) -> None:
        super().__init__(config)
        self._reset()

    def _reset(self) -> None:
        config = self.config
        held_out = max(4, config.reference_events // _HELD_OUT)
        self._size = config.reference_events - held_out
        # River's detectors read the distance alone, because eight more of them would make the state large.
        self._cluster_count = min(config.topics, self._size // 2) if config.method == E_DETECTOR else 0
        share = config.embedding_share if config.features else 1.0
        part = share / 2 if self._cluster_count else share
        features = {EMBEDDING: Feature(share=part, tails=1, warm_up=held_out)}
        if self._cluster_count:
            # A new subject is far from the reference; this distance says more than the direction of the last events.
            features[CLUSTERS] = Feature(
                share=part,
                tails=1,
                warm_up=held_out,
                scores=self._cluster_count + 1,
                fractions=_NEAR,
                instead=EMBEDDING,
            )
        for name in config.features:
            features[name] = Feature(share=(1 - share) / len(config.features), tails=2, warm_up=config.reference_events)
        self._monitor = config.monitor(features)
        self._distance = self._monitor.columns[EMBEDDING]
        self._nearness = self._monitor.columns[CLUSTERS] if self._cluster_count else slice(0, 0)
        self._numbers = NumericFeatures(config.features)
        self._begin("")

    def _begin(self, version: str) -> None:
        self._clusters, self._witness = Clusters(), Witness()
        self._version, self._others = version, 0
        self._reference: list[bytes] = []
        self._matrix: Vectors | None = None

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Process one bucket; see `StreamDetector.update_many`."""
        at = 0
        while at < len(observations):
            block = observations[at : at + _BLOCK]
            if not self._steady(block):
                block = block[:1]
            self._update(block)
            at += len(block)
        finding = self._monitor.close(large=self._large)
        if finding is None:
            return None
        if finding.feature in (EMBEDDING, CLUSTERS):
            since = finding.details["events"] - finding.details["changed_events_ago"]
            return msgspec.structs.replace(finding, details=finding.details | self._clusters.details(since))
        return self._numbers.explain(finding)

    def _large(self, finding: Finding) -> bool:
        """Whether the changed share of the events reaches the minimum; river's methods measure no share."""
        details = finding.details
        if "share_since" not in details:
            return True
        return abs(details["share_since"] - details["share_before"]) >= self.config.min_share

    def _steady(self, observations: Sequence[Observation]) -> bool:
        """Whether none of these events can change the reference, so that `_update` can process them together."""
        if len(self._reference) < self._size:
            return False
        return self._others == 0 and all(
            not observation.embedding or observation.embedding_version == self._version for observation in observations
        )

    def _update(self, block: Sequence[Observation]) -> None:
        inputs, values = self._monitor.read(block, self._numbers, self.config.seed)
        self._embedded(inputs)
        self._numbers.update(values, self._monitor.update_many(inputs))

    def _embedded(self, inputs: Inputs) -> None:
        """Add the embeddings' scores to the inputs; while the reference is incomplete, only extend the reference."""
        block, looked, scores, random = inputs
        read = [index for index, observation in enumerate(block) if looked[index] and self._readable(observation)]
        if not read:
            return
        vectors = unpack_many([block[index].embedding or b"" for index in read])
        whole: NDArray[np.bool_] = np.all(np.isfinite(vectors), axis=1)
        if len(self._reference) < self._size:
            if whole[0]:
                self._remember(block[read[0]])
            return
        if not whole.all():
            read = [index for index, fine in zip(read, whole, strict=True) if fine]
            vectors = vectors[whole]
        self._measure(np.array(read, dtype=np.intp), vectors, scores, np.array([random[index][0] for index in read]))

    def _readable(self, observation: Observation) -> bool:
        """Whether the event's embedding has the version and length of the reference, or starts a new reference."""
        data = observation.embedding
        if data and observation.embedding_version != self._version and not self._renewed(observation.embedding_version):
            return False
        if not data or len(data) % 2 or (self._reference and len(data) != len(self._reference[0])):
            return False
        self._others = 0
        return True

    def _remember(self, observation: Observation) -> None:
        """Add an embedding to the reference; if this completes the reference, find its clusters."""
        self._reference.append(observation.embedding or b"")
        if len(self._reference) == self._size and self._cluster_count:
            self._clusters.begin(unpack_many(self._reference), self._cluster_count)

    def _measure(
        self, indices: NDArray[np.intp], vectors: Vectors, scores: NDArray[np.float64], ties: NDArray[np.float64]
    ) -> None:
        """Write the distance of each vector to the reference, its similarity to the clusters, and its witness rank to ``scores``.

        Vectors are multiplied one by one, because the rounding of a joint matrix product depends on the bucket's size.
        """
        rows = self._rows()
        similarities = np.empty((len(vectors), len(rows)), dtype=np.float32)
        for vector, row in zip(vectors, similarities, strict=True):
            np.dot(rows, vector, out=row)
        count, nearest = self._size, min(self.config.neighbours, self._size)
        largest = np.partition(similarities[:, :count], -nearest, axis=1)[:, -nearest:]
        distances = np.add.reduce(np.ascontiguousarray(largest), axis=1).astype(np.float64) / nearest
        scores[indices, self._distance.start] = ties * _TIE - distances
        if self._cluster_count:
            near, reference = similarities[:, count:], rows[:count]
            self._clusters.update_many((self._monitor.events + indices).tolist(), near)
            scores[indices, self._nearness.start : self._nearness.stop - 1] = (
                near + (ties * _TIE).astype(np.float32)[:, None]
            )
            scores[indices, self._nearness.stop - 1] = self._witness.scores(
                vectors, similarities[:, :count], reference, ties
            )

    def _renewed(self, version: str) -> bool:
        """Count an embedding of another version; after `_RENEW` in a row, restart the reference and return true."""
        self._others += 1
        if self._reference and self._others < _RENEW:
            return False
        if self._reference:
            self._monitor.renew(*((EMBEDDING, CLUSTERS) if self._cluster_count else (EMBEDDING,)))
        self._begin(version)
        return True

    def _rows(self) -> Vectors:
        """Return the reference and the cluster centres as rows, unpacked at first use because most streams are idle."""
        if self._matrix is None:
            centres = [] if self._clusters.centres is None else [self._clusters.centres]
            self._matrix = np.vstack([unpack_many(self._reference), *centres])
        return self._matrix

    def reference(self) -> Reference:
        """Return the reference and its clusters."""
        return Reference(tuple(self._reference), self._size, self._clusters.centres, self._clusters.shares)

    def snapshot(self) -> bytes:
        """Return the state; see `StreamDetector.snapshot`."""
        state = _State(
            reference=list(self._reference),
            embedding_version=self._version,
            others=self._others,
            topics=self._clusters.snapshot(),
            recent=self._witness.snapshot(),
            monitor=self._monitor.snapshot(),
            moments=self._numbers.moments,
        )
        return seal(self, state)

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot; see `StreamDetector.restore`."""
        body = unseal(self, state, _State)
        with restoring(self):
            self._reset()
            self._monitor.restore(body.monitor)
            self._numbers.restore(body.moments)
            self._clusters.restore(body.topics)
            self._witness.restore(body.recent)
            sizes = {len(data) for data in (*body.reference, *body.recent)}
            if len(sizes) > 1 or any(size % 2 for size in sizes):
                raise ValueError(f"state has embeddings of {sorted(sizes)} bytes; expected one even length")
            self._reference = list(body.reference)
            self._version, self._others = body.embedding_version, body.others
