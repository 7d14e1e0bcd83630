"""Choose thresholds: the study ``thresholds`` of ``weir eval``.

On the tune split, by leaving one source out: the threshold that is best on the mean of the other sources is judged on the
one left out, and the median of these thresholds is proposed. None of them flags more than 2 % of ordinary prompts of any
source (`detectors.train.datasets.ordinary`; MT-Bench is in no training set).
"""

import random
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import TextDetector
from detectors.evaluate.metrics import decisions
from detectors.models.multitask import TASKS
from detectors.registry import create_text
from detectors.train.datasets import load_examples, ordinary

__all__ = ["choose", "proposals", "quality"]

MOST_FLAGGED = 0.02
TEXTS = 150
Labelled = tuple[NDArray[np.float64], NDArray[np.bool_]]


def quality(data: Labelled, threshold: float) -> float:
    """Return macro-F1 at a threshold, the share of right decisions where only one class is there."""
    scores, labels = data
    flagged = scores >= threshold
    if labels.all() or not labels.any():
        return float((flagged == labels).mean())
    return decisions(labels.tolist(), flagged.tolist())["macro_f1"]


def choose(sources: Mapping[str, Labelled], benign: Sequence[NDArray[np.float64]]) -> tuple[float, dict[str, float]]:
    """Return a threshold, and the quality on each source of the threshold chosen without it.

    Parameters
    ----------
    sources
        Scores and labels of the tune split, by source.
    benign
        Scores of ordinary prompts, by source.
    """
    least = max((float(np.quantile(scores, 1 - MOST_FLAGGED)) for scores in benign), default=0.0)
    grid = [t for t in np.arange(0.02, 0.99, 0.01).round(2) if t > least] or [0.99]
    table = {name: [quality(data, t) for t in grid] for name, data in sources.items()}
    found: list[float] = []
    told: dict[str, float] = {}
    for name in sources:
        others = [row for other, row in table.items() if other != name] or [table[name]]
        best = int(np.argmax(np.mean(others, axis=0)))
        found.append(float(grid[best]))
        told[name] = table[name][best]
    return statistics.median_low(found), told


def proposals(root: Path, seed: int) -> list[dict[str, Any]]:
    """Return a proposal for each task of the shared encoder, on 150 texts a source at most, and its quality on each source left out."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample
    held = [e for e in load_examples(root, seed) if e.split == "tune"]
    by_source: dict[str, list[str]] = defaultdict(list)
    for source, text in ordinary(root):
        by_source[source].append(text)
    prompts = [rng.sample(texts, min(TEXTS, len(texts))) for texts in by_source.values()]
    rng.shuffle(held)
    rows: list[dict[str, Any]] = []
    for task, name in enumerate(TASKS):
        detector = create_text(name)
        detector.load()
        sources: dict[str, Labelled] = {}
        for source in sorted({e.source for e in held}):
            group = [e for e in held if e.source == source and e.labels[task] in (0, 1)][:TEXTS]
            if group:
                sources[source] = (
                    _scores(detector, [e.text for e in group]),
                    np.array([e.labels[task] == 1 for e in group]),
                )
        threshold, told = choose(sources, [_scores(detector, texts) for texts in prompts])
        rows.append({"detector": name, "data": "proposed threshold", "threshold": threshold})
        rows += [
            {
                "detector": name,
                "data": f"  {source}, left out (of one class: share right)",
                "texts": len(sources[source][1]),
                "macro_f1": value,
            }
            for source, value in told.items()
        ]
    return rows


def _scores(detector: TextDetector[Any], texts: Sequence[str]) -> NDArray[np.float64]:
    return np.array([score.score for score in detector.score_many(texts)])
