"""Drift of a stream: whether what arrives now is still like what it began with.

Embeddings are judged by their distance to the nearest of a reference (the stream's first embeddings), numeric features by
their own history; ranks of both feed one alarm budget (`detectors.monitor`, `detectors.sequential`).
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Finding, Observation, StreamDetector, restoring, seal, unseal
from detectors.embedding import unpack
from detectors.monitor import Feature, Monitor, MonitorState
from detectors.numeric import MomentsState, NumericFeatures
from detectors.sequential import BINS, tie_break

__all__ = ["EMBEDDING", "DriftConfig", "DriftDetector"]

EMBEDDING = "embedding"
Vectors = NDArray[np.float32]


class DriftConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the drift detector.

    Attributes
    ----------
    alarm_every_events
        The budget: events between two false alarms, on average, at least.
    reference_events
        Embeddings (and values of each feature) that are taken as normal.
    neighbours
        Distance is the mean over this many nearest references.
    features
        Numeric features watched beside the embedding, both tails.
    embedding_share
        The embedding's share of the budget; the features divide the rest.
    seed
        Breaks ties between equal ranks, together with the event's id.
    """

    alarm_every_events: Annotated[int, Meta(ge=10)] = 10_000
    reference_events: Annotated[int, Meta(ge=8, le=2_000)] = 200
    neighbours: Annotated[int, Meta(ge=1, le=50)] = 3
    features: tuple[str, ...] = ("characters", "words")
    embedding_share: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    seed: int = 0


class _State(msgspec.Struct, frozen=True, kw_only=True):
    reference: list[bytes]
    monitor: MonitorState
    moments: dict[str, MomentsState]


class DriftDetector(StreamDetector[DriftConfig]):
    """Distance to a reference and numeric features, under one alarm budget.

    Notes
    -----
    State: ``reference_events`` packed embeddings (192 bytes each) and the trackers' counts. An update costs one product
    with the reference and a pass over the counts, about 40 µs a feature; it does not grow with the stream.
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = DriftConfig

    def __init__(self, config: DriftConfig | None = None) -> None:
        super().__init__(config)
        self._reset()

    def _reset(self) -> None:
        config = self.config
        rest = {
            name: Feature(tails=2, share=(1 - config.embedding_share) / len(config.features))
            for name in config.features
        }
        features = {EMBEDDING: Feature(tails=1, share=config.embedding_share if rest else 1.0), **rest}
        self._monitor = Monitor(features, limit=config.alarm_every_events, warm_up=config.reference_events)
        self._numbers = NumericFeatures(config.features, seed=config.seed)
        self._reference: list[bytes] = []
        self._matrix: Vectors | None = None

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Take one closed bucket; see `StreamDetector.update_many`."""
        for observation in observations:
            placed = self._numbers.update(observation, learn=not self._monitor.alarm)
            distance = self._distance(observation)
            if distance is not None:
                placed[EMBEDDING] = (distance, tie_break(self.config.seed, observation.id, EMBEDDING))
            self._monitor.update(placed)
        finding = self._monitor.close()
        return None if finding is None else self._numbers.explain(finding)

    def _distance(self, observation: Observation) -> int | None:
        """Return the bin of the distance to the reference; None without an embedding, or while the reference fills."""
        data = observation.embedding
        if not data or len(data) % 2 or (self._reference and len(data) != len(self._reference[0])):
            return None
        vector = unpack(data)
        if not np.isfinite(vector).all():
            return None
        if len(self._reference) < self.config.reference_events:
            self._reference.append(data)
            if len(self._reference) == self.config.reference_events:
                self._begin()
            return None
        return _place(self._mean_nearest(self._vectors() @ vector))

    def _vectors(self) -> Vectors:
        """Return the reference as rows, unpacked when first needed: most streams are idle."""
        if self._matrix is None:
            self._matrix = np.stack([unpack(data) for data in self._reference])
        return self._matrix

    def _mean_nearest(self, similarities: Vectors) -> float:
        nearest = min(self.config.neighbours, len(similarities))
        return float(np.partition(similarities, -nearest)[-nearest:].mean())

    def _begin(self) -> None:
        """Fix the reference; its own distances, each without itself, are the first history."""
        vectors = self._vectors()
        similarities = vectors @ vectors.T
        for index, row in enumerate(similarities):
            others = np.delete(row, index)
            self._monitor.trackers[EMBEDDING].learn(_place(self._mean_nearest(others)))

    def snapshot(self) -> bytes:
        """Return the state; see `StreamDetector.snapshot`."""
        state = _State(
            reference=list(self._reference), monitor=self._monitor.snapshot(), moments=self._numbers.snapshot()
        )
        return seal(self, state)

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot; see `StreamDetector.restore`."""
        body = unseal(self, state, _State)
        with restoring(self):
            self._reset()
            self._monitor.restore(body.monitor)
            self._numbers.restore(body.moments)
            sizes = {len(data) for data in body.reference}
            if len(sizes) > 1 or any(size % 2 for size in sizes):
                raise ValueError(f"a reference has embeddings of one even length, the state of {sorted(sizes)}")
            self._reference = list(body.reference)


def _place(similarity: float) -> int:
    """Return the bin of a distance, 1 - similarity, which lies in [0, 2]."""
    return min(BINS - 1, max(0, int((1.0 - similarity) * 0.5 * BINS)))
