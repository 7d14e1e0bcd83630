"""Clusters of embeddings in integer arithmetic, which is the same on every machine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.models.embedding import unpack_many

Integers = NDArray[np.int64]
#: Value of a coordinate of 1; embeddings have length one.
_SCALE = 127
_ROUNDS = 25


def quantised(embeddings: Sequence[bytes]) -> Integers:
    """Return packed embeddings (:func:`detectors.models.embedding.pack`), rounded to integers in [-127, 127]: (n, 96)."""
    vectors: Integers = np.rint(unpack_many(embeddings) * np.float32(_SCALE)).astype(np.int64)
    return vectors


def clusters(vectors: Integers, count: int) -> list[int]:
    """Return the cluster of each row of `vectors`, in [0, `count`); with few distinct rows there are fewer clusters.

    Lloyd's algorithm from a farthest-first start at row 0, so the result depends on the order of the rows.
    """
    if not len(vectors):
        return []
    centres = _farthest_first(vectors, count)
    labels = _nearest(vectors, centres)
    for _ in range(_ROUNDS):
        for number in range(len(centres)):
            members = vectors[labels == number]
            if len(members):
                centres[number] = members.sum(axis=0) // len(members)
        moved = _nearest(vectors, centres)
        if (moved == labels).all():
            break
        labels = moved
    return [int(label) for label in labels]


def _farthest_first(vectors: Integers, count: int) -> Integers:
    chosen = [0]
    distances = ((vectors - vectors[0]) ** 2).sum(axis=1)
    while len(chosen) < count and distances.max() > 0:
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, ((vectors - vectors[chosen[-1]]) ** 2).sum(axis=1))
    return vectors[chosen].copy()


def _nearest(vectors: Integers, centres: Integers) -> Integers:
    products = vectors @ centres.T
    squares = (centres**2).sum(axis=1) - 2 * products
    nearest: Integers = squares.argmin(axis=1).astype(np.int64)
    return nearest
