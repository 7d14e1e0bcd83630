"""Calibration of the scores of the shared encoder's detectors: Platt scaling (Platt 1999) of the final log-odds.

The slope and the shift are fitted on the tune split, where every source has the same weight and the two classes of a
source too, if it has both. They are stored in the file of the encoder's weights, so that weights and calibration
cannot be mixed up. The map is increasing, so it changes no order of scores.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize

from detectors.models.multitask import TASKS
from detectors.registry import create_text
from detectors.text.shared_encoder import EncoderDetector
from detectors.train.averaged_training import Log
from detectors.train.mixes import load_examples

__all__ = ["calibrate", "platt"]

TEXTS = 80
Floats = NDArray[np.float64]


def platt(odds: Floats, labels: Floats, weights: Floats) -> tuple[float, float]:
    """Return the slope (at least .05) and the shift of the log-odds with the smallest weighted log loss."""

    def loss(point: Floats) -> float:
        logits = point[0] * odds + point[1]
        return float((weights * (np.logaddexp(0.0, logits) - labels * logits)).sum() / weights.sum())

    slope, shift = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.05, 5.0), (-10.0, 10.0)]).x
    return float(slope), float(shift)


def calibrate(data: Path, out: Path, seed: int, *, log: Log) -> None:
    """Fit the calibration of the installed weights and write it into ``out``, the file of the encoder's weights."""
    held = [e for e in load_examples(data, seed) if e.split == "tune"]
    found: list[tuple[float, float]] = []
    for task, name in enumerate(TASKS):
        by_source: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for example in held:
            if example.labels[task] in (0, 1) and len(by_source[example.source]) < TEXTS:
                by_source[example.source].append((example.text, example.labels[task]))
        detector = create_text(name)
        assert isinstance(detector, EncoderDetector)
        detector.load()
        texts = [text for rows in by_source.values() for text, _ in rows]
        labels = np.array([label for rows in by_source.values() for _, label in rows])
        weights = np.concatenate([_balanced([label for _, label in rows]) for rows in by_source.values()])
        found.append(platt(detector.log_odds(texts)[0], labels, weights))
        log(
            f"{name}: {len(texts)} texts of {len(by_source)} sources, slope {found[-1][0]:.3f}, shift {found[-1][1]:.3f}"
        )
    save_file({**load_file(out), "calibration": np.array(found, np.float32)}, out)


def _balanced(labels: list[float]) -> Floats:
    positive = np.array(labels) == 1
    counts = np.where(positive, positive.sum(), (~positive).sum())
    return np.asarray(1.0 / counts / len(set(labels)))
