"""The study ``thresholds``: proposes a threshold for each task of the shared encoder, from the tune split.

For each source, the study chooses the threshold with the best mean quality on all other sources, and measures the
quality of this threshold on the omitted source. The proposed threshold is the median of these thresholds. No threshold
flags more than 2 % of the split's CLINC prompts, or of its HaluEval questions.
"""

import random
import statistics
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.progress import tracked
from detectors.evaluate.readers import ORDINARY
from detectors.evaluate.scoring import load_text, score_texts
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.models.multitask import TASKS

__all__ = ["choose", "thresholds"]

MOST_FLAGGED = 0.02
TEXTS = 150
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


def choose(sources: Mapping[str, Labelled]) -> tuple[float, dict[str, float]]:
    """Return the proposed threshold, and for each source the quality of a threshold chosen without this source.

    ``sources`` contains (scores, labels) of the tune split by source; those in `ORDINARY` are ordinary prompts.
    """
    benign = [scores for name, (scores, _) in sources.items() if name in ORDINARY]
    # Not interpolated: of few prompts, more than `MOST_FLAGGED` can be above an interpolated quantile.
    quantiles = [float(np.quantile(scores, 1 - MOST_FLAGGED, method="inverted_cdf")) for scores in benign]
    least = max(quantiles, default=0.0)
    grid = np.arange(0.02, 0.99, 0.01).round(2)
    grid = grid[grid > least] if (grid > least).any() else np.array([0.99])
    table = {name: _quality(data, grid) for name, data in sources.items()}
    chosen: list[float] = []
    quality: dict[str, float] = {}
    for name in sources:
        others = [row for other, row in table.items() if other != name] or [table[name]]
        best = int(np.argmax(np.mean(others, axis=0)))
        chosen.append(float(grid[best]))
        quality[name] = float(table[name][best])
    return statistics.median_low(chosen), quality


def thresholds(study: StudyContext) -> list[Row]:
    """Return the proposed threshold of each task of the shared encoder, and the quality on each source."""
    rng = random.Random(study.seed)
    held = [e for e in study.load_examples(study.data, study.seed) if e.split == "tune"]
    rng.shuffle(held)
    rows: list[Row] = []
    for task, name in enumerate(TASKS):
        detector = load_text(name)
        sources: dict[str, Labelled] = {}
        for source in tracked(study.progress, f"scoring {name} by source", sorted({e.source for e in held})):
            group = [e for e in held if e.source == source and e.labels[task] in (0, 1)][:TEXTS]
            if group:
                scores = np.array([score.score for score in score_texts(detector, [e.text for e in group])])
                sources[source] = scores, np.array([e.labels[task] == 1 for e in group])
        threshold, quality = choose(sources)
        rows.append({"detector": name, "data": "proposed threshold", "threshold": threshold})
        for source, value in quality.items():
            data = f"  {source}, left out (of one class: share right)"
            rows.append({"detector": name, "data": data, "texts": len(sources[source][1]), "macro_f1": value})
    return rows
