"""A projection of embeddings to two dimensions, in which a change between two sets is visible."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.models.embedding import Vectors

_AXES = 2


class Plane(NamedTuple):
    """A plane: a point on it, (d,), two orthogonal unit axes, (2, d), and each axis' share of the variance, in [0, 1]."""

    origin: NDArray[np.float64]
    axes: NDArray[np.float64]
    variance: tuple[float, float]

    def project(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the coordinates, (n, 2), of vectors, (n, d)."""
        coordinates: NDArray[np.float64] = (vectors - self.origin) @ self.axes.T
        return coordinates


def principal_plane(reference: Vectors, recent: Vectors) -> Plane:
    """Return the plane of the first two principal components of both sets, (n, d) and (m, d) with d of at least 2.

    Both sets have the same weight, whatever their sizes, so a small set is as visible as a large one. The result depends only on
    the vectors: the largest component of each axis is positive.

    References
    ----------
    I. T. Jolliffe, Principal Component Analysis, 2nd edition (2002), section 14.2.1: weighted components.
    """
    origin = (reference.mean(axis=0, dtype=np.float64) + recent.mean(axis=0, dtype=np.float64)) / 2
    rows = np.vstack([(part - origin) / np.sqrt(2 * len(part)) for part in (reference, recent)])
    _, lengths, axes = np.linalg.svd(rows, full_matrices=False)
    axes = axes[:_AXES]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1, keepdims=True), axis=1)
    squares = np.square(lengths)
    first, second = (squares[:_AXES] / max(float(squares.sum()), 1e-12)).tolist()
    return Plane(origin, axes * np.where(largest < 0, -1.0, 1.0), (first, second))
