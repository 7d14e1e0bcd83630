"""Choose thresholds: ``python -m detectors.train.thresholds --data ../shared/data``.

On the tune split, by leaving one source out: the threshold that is best on the mean of the other sources is judged on the
one left out, and the median of these thresholds is proposed. None of them flags more than 2 % of ordinary prompts of any
source (`detectors.train.data.ordinary`; MT-Bench is in no training set).
"""

import argparse
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.metrics import decisions
from detectors.multitask import TASKS
from detectors.registry import create_text
from detectors.train.data import load_examples, ordinary

__all__ = ["choose", "main", "quality"]

MOST_FLAGGED = 0.02
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print a proposal for each task."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train.thresholds", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--limit", type=int, default=150, help="texts a source, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)  # noqa: S311 - a reproducible sample
    held = [e for e in load_examples(options.data, options.seed) if e.split == "tune"]
    by_source: dict[str, list[str]] = defaultdict(list)
    for source, text in ordinary(options.data):
        by_source[source].append(text)
    prompts = [rng.sample(texts, min(options.limit, len(texts))) for texts in by_source.values()]
    rng.shuffle(held)
    for task, name in enumerate(TASKS):
        detector = create_text(name)
        detector.load()

        def scores_of(texts: Sequence[str]) -> NDArray[np.float64]:
            return np.array([score.score for score in detector.score_many(texts)])  # noqa: B023 - used at once

        sources: dict[str, Labelled] = {}
        for source in sorted({e.source for e in held}):
            group = [e for e in held if e.source == source and e.labels[task] in (0, 1)][: options.limit]
            if group:
                labels = np.array([e.labels[task] == 1 for e in group])
                sources[source] = (scores_of([e.text for e in group]), labels)
        threshold, told = choose(sources, [scores_of(texts) for texts in prompts])
        line = ", ".join(f"{source} {value:.3f}" for source, value in told.items())
        sys.stdout.write(f"{name}: {threshold:.2f}; left out, each: {line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
