"""Clusters of a stream's reference embeddings, and the share of each before and after a change."""

from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np

from detectors.models.embedding import Vectors, unpack

_ROUNDS = 10
_RECENT = 160


def spherical_k_means(vectors: Vectors, count: int) -> Vectors:
    """Return the unit centres, (count, d), of spherical k-means; each initial centre is farthest from the earlier ones.

    Dhillon and Modha, Concept decompositions for large sparse text data (2001); initial centres: Gonzalez (1985).
    """
    centres = vectors[[int(np.argmax(vectors @ vectors.mean(axis=0)))]]
    while len(centres) < count:
        centres = np.vstack([centres, vectors[int(np.argmin((vectors @ centres.T).max(axis=1)))]])
    for _ in range(_ROUNDS):
        nearest = np.argmax(vectors @ centres.T, axis=1)
        sums = np.stack([vectors[nearest == k].sum(axis=0) for k in range(count)])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0.0, sums / np.maximum(lengths, 1e-12), centres).astype(np.float32)
    return centres


class ClustersState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `Clusters`: float16 centres, each cluster's share of the reference, clusters of recent events."""

    centres: bytes
    shares: list[float]
    recent: list[tuple[int, int]]


class Clusters:
    """The clusters of the reference, and the cluster number of each of the last 160 events; no text is stored."""

    def __init__(self) -> None:
        self.centres: Vectors | None = None
        #: Each cluster's share of the reference, in [0, 1].
        self.shares: tuple[float, ...] = ()
        self._recent: deque[tuple[int, int]] = deque(maxlen=_RECENT)

    def begin(self, reference: Vectors, count: int) -> None:
        """Divide the reference embeddings, (n, d), into ``count`` clusters."""
        self.centres = spherical_k_means(reference, count).astype("<f2").astype(np.float32)
        nearest = np.argmax(reference @ self.centres.T, axis=1)
        self.shares = tuple((np.bincount(nearest, minlength=count) / len(reference)).tolist())

    def update_many(self, events: Sequence[int], similarities: Vectors) -> None:
        """Assign each event to the cluster with the most similar centre; ``similarities`` is (events, clusters)."""
        self._recent.extend(zip(events, np.argmax(similarities, axis=1).tolist(), strict=True))

    def details(self, since: float) -> dict[str, float]:
        """Return the largest reference cluster, the cluster that grew most since event ``since``, and their shares."""
        after = [cluster for event, cluster in self._recent if event >= since]
        if not after:
            return {}
        shares = np.bincount(after, minlength=len(self.shares)) / len(after)
        before, now = int(np.argmax(self.shares)), int(np.argmax(shares - self.shares))
        return {
            "topic_before": float(before),
            "topic_before_share": self.shares[before],
            "topic_before_share_since": float(shares[before]),
            "topic_since": float(now),
            "topic_since_share_before": self.shares[now],
            "topic_since_share": float(shares[now]),
        }

    def snapshot(self) -> ClustersState:
        """Return an immutable copy of the state."""
        centres = b"" if self.centres is None else self.centres.astype("<f2").tobytes()
        return ClustersState(centres=centres, shares=list(self.shares), recent=list(self._recent))

    def restore(self, state: ClustersState) -> None:
        """Continue from a snapshot; raise ValueError if the size of the centres does not fit the number of clusters."""
        self.centres = None
        if state.centres:
            self.centres = unpack(state.centres).reshape(len(state.shares), -1)
        self.shares = tuple(state.shares)
        self._recent = deque(state.recent, maxlen=_RECENT)
