"""A score that grows along the direction in which the last events of a stream differ from its reference."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.models.embedding import Vectors, unpack

Floats = NDArray[np.float64]
#: Number of last events whose mean is compared with that of the reference.
_WINDOW = 25
#: Values that differ by less are equal.
_SAME = 1e-6


class Witness:
    """The witness function of the maximum mean discrepancy (MMD) between the last 25 events and the reference.

    With the linear kernel it is ``f(x) = x · (mean of the last events - mean of the reference)`` (Gretton et al., A kernel two-sample
    test, JMLR 2012). It finds subjects that become more frequent, even if they do not form one cluster.
    """

    def __init__(self) -> None:
        self._last: deque[Vectors] = deque(maxlen=_WINDOW)
        self._offsets: Vectors | None = None
        self._mean = np.zeros(0, dtype=np.float32)

    def scores(self, vectors: Vectors, similarities: Vectors, reference: Vectors, ties: Floats) -> Floats:
        """Return the rank of f of each event among f of the reference, (m,) in (0, 1); then append the events to the last ones.

        For an embedding of the reference, f uses the mean of the reference with the event in place of this embedding. So, without a change,
        the event and the reference are exchangeable, and every rank is equally probable.

        Parameters
        ----------
        vectors, reference
            The embeddings of the events, (m, d), and of the reference, (n, d).
        similarities
            The scalar products of the events with the reference, (m, n).
        ties
            Uniform random numbers in (0, 1), (m,), each of which depends only on the event; they order equal values.
        """
        count = np.float32(len(reference))
        if self._offsets is None:
            total = np.add.reduce(reference)
            self._mean = total / count
            self._offsets = np.add.reduce(reference * (reference - total), axis=1) / count
        means = self._means(vectors)
        others = np.empty(similarities.shape, dtype=np.float32)
        for mean, row in zip(means, others, strict=True):
            np.dot(reference, mean, out=row)  # one by one, because the rounding of a joint product depends on m
        others += self._offsets - similarities / count
        own = np.add.reduce(vectors * (means - self._mean), axis=1)[:, None]
        below = (others < own - _SAME).sum(axis=1)
        equal = (others <= own + _SAME).sum(axis=1) - below
        ranks: Floats = (below + ties * (equal + 1)) / (len(reference) + 1)
        return ranks

    def _means(self, vectors: Vectors) -> Vectors:
        """Return the mean of the last events before each event, (m, d); the sums of float16 values are exact in float64."""
        size = vectors.shape[1]
        history = np.concatenate(
            [np.zeros((1, size)), *(vector[None] for vector in self._last), vectors], dtype=np.float64
        )
        totals = np.cumsum(history, axis=0)
        ends = np.arange(len(self._last), len(history) - 1)
        begins = np.maximum(ends - _WINDOW, 0)
        self._last.extend(vector.copy() for vector in vectors[-_WINDOW:])
        means: Vectors = ((totals[ends] - totals[begins]) / np.maximum(ends - begins, 1)[:, None]).astype(np.float32)
        return means

    def snapshot(self) -> list[bytes]:
        """Return the embeddings of the last events, as float16."""
        return [vector.astype("<f2").tobytes() for vector in self._last]

    def restore(self, state: Sequence[bytes]) -> None:
        """Continue from a snapshot; raise ValueError if the number of bytes of an embedding is odd or zero."""
        self._last = deque(map(unpack, state), maxlen=_WINDOW)
        self._offsets = None
