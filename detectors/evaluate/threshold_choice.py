"""The threshold of a head of the shared encoder, chosen from the scores of several sources.

For each source, the threshold with the best mean quality on all other sources is chosen. The result is the median of these
thresholds. No threshold below .99 flags more than 2 % of a source of ordinary prompts.
"""

import statistics
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.readers import ORDINARY

MOST_FLAGGED = 0.02
Floats = NDArray[np.float64]
Labelled = tuple[Floats, NDArray[np.bool_]]


def _quality(data: Labelled, grid: Floats) -> Floats:
    """Return macro-F1 at each threshold, or the share of right decisions if a class is missing."""
    scores, labels = data[0], data[1][:, None]
    flagged = scores[:, None] >= grid
    if labels.all() or not labels.any():
        return np.asarray((flagged == labels).mean(axis=0))
    f1 = [
        2 * (a & b).sum(axis=0) / (a.sum(axis=0) + b.sum(axis=0)) for a, b in ((flagged, labels), (~flagged, ~labels))
    ]
    return np.asarray(np.mean(f1, axis=0))


def choose(sources: Mapping[str, Labelled]) -> float:
    """Return the threshold; ``sources`` contains (scores, labels) by source, and those in `ORDINARY` are ordinary prompts."""
    benign = [scores for name, (scores, _) in sources.items() if name in ORDINARY]
    # Not interpolated: of few prompts, more than `MOST_FLAGGED` can be above an interpolated quantile.
    quantiles = [float(np.quantile(scores, 1 - MOST_FLAGGED, method="inverted_cdf")) for scores in benign]
    least = max(quantiles, default=0.0)
    grid = np.arange(0.02, 0.99, 0.01).round(2)
    grid = grid[grid > least] if (grid > least).any() else np.array([0.99])
    table = {name: _quality(data, grid) for name, data in sources.items()}
    chosen: list[float] = []
    for name in sources:
        others = [row for other, row in table.items() if other != name] or [table[name]]
        chosen.append(float(grid[int(np.argmax(np.mean(others, axis=0)))]))
    return statistics.median_low(chosen)
