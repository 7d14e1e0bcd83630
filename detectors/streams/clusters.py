"""Topics of a stream: clusters of its first embeddings, found once, and what share each has before and after a change."""

from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Topics", "TopicsState", "clusters"]

Vectors = NDArray[np.float32]
_ROUNDS = 10
_RECENT = 160


def clusters(vectors: Vectors, count: int) -> Vectors:
    """Return unit centres, (count, d), of spherical k-means; no chance in it: each start is the vector furthest from the others.

    Dhillon and Modha, Concept decompositions for large sparse text data (2001); starts by Gonzalez (1985).
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


class TopicsState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `Topics`: float16 centres, shares of the reference, and the topic of each recent event."""

    centres: bytes
    shares: list[float]
    recent: list[tuple[int, int]]


class Topics:
    """A stream's topics, by number; no words are kept, so a topic is read from the events that are nearest to it.

    Notes
    -----
    State: ``count`` centres and the topics of 160 events.
    """

    def __init__(self) -> None:
        self.centres: Vectors | None = None
        self._shares: list[float] = []
        self._recent: deque[tuple[int, int]] = deque(maxlen=_RECENT)

    def begin(self, reference: Vectors, count: int) -> None:
        """Find ``count`` topics in the reference, (n, d)."""
        self.centres = clusters(reference, count).astype("<f2").astype(np.float32)
        nearest = np.argmax(reference @ self.centres.T, axis=1)
        self._shares = (np.bincount(nearest, minlength=count) / len(reference)).tolist()

    def update_many(self, events: Sequence[int], similarities: Vectors) -> None:
        """Remember the topic of each event by its similarities to the centres, (n, count)."""
        self._recent.extend(zip(events, np.argmax(similarities, axis=1).tolist(), strict=True))

    def details(self, since: float) -> dict[str, float]:
        """Return the commonest topic of the reference, the one that grew most since event ``since``, and their shares."""
        after = [topic for event, topic in self._recent if event >= since]
        if not after:
            return {}
        shares = np.bincount(after, minlength=len(self._shares)) / len(after)
        before, now = int(np.argmax(self._shares)), int(np.argmax(shares - self._shares))
        return {
            "topic_before": float(before),
            "topic_before_share": self._shares[before],
            "topic_before_share_since": float(shares[before]),
            "topic_since": float(now),
            "topic_since_share_before": self._shares[now],
            "topic_since_share": float(shares[now]),
        }

    def snapshot(self) -> TopicsState:
        """Return an immutable copy of the state."""
        centres = b"" if self.centres is None else self.centres.astype("<f2").tobytes()
        return TopicsState(centres=centres, shares=list(self._shares), recent=list(self._recent))

    def restore(self, state: TopicsState) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            Its centres do not divide into its topics.
        """
        self.centres = None
        if state.centres:
            centres = np.frombuffer(state.centres, dtype="<f2").astype(np.float32)
            self.centres = centres.reshape(len(state.shares), -1)
        self._shares = list(state.shares)
        self._recent = deque(state.recent, maxlen=_RECENT)
