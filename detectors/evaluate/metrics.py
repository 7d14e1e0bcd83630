"""Metrics in numpy, as the text books define them; NaN where a metric is not defined (one class is missing)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Bin",
    "auroc",
    "average_precision",
    "calibration_error",
    "decisions",
    "f_beta",
    "precision_recall",
    "reliability",
    "roc",
]

Floats = NDArray[np.float64]
NAN = float("nan")


def auroc(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """Return the probability that a positive scores above a negative, ties half; NaN where one of them is missing."""
    truth, values = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    positive, negative = values[truth], np.sort(values[~truth])
    if not len(positive) or not len(negative):
        return NAN
    below = np.searchsorted(negative, positive, side="left")
    upto = np.searchsorted(negative, positive, side="right")
    return float((below + upto).mean() / 2 / len(negative))


def _ranked(labels: Sequence[bool], scores: Sequence[float]) -> tuple[Floats, Floats]:
    """Return true and false positives at each distinct score as the threshold, from the highest down."""
    truth, values = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1) if len(values) else np.empty(0, dtype=int)
    return np.cumsum(truth, dtype=float)[last], np.cumsum(~truth, dtype=float)[last]


def roc(labels: Sequence[bool], scores: Sequence[float]) -> tuple[Floats, Floats]:
    """Return false and true positive rates, a point a distinct score, from (0, 0) to (1, 1); both classes must be there."""
    hits, misses = _ranked(labels, scores)
    return np.append(0.0, misses / misses[-1]), np.append(0.0, hits / hits[-1])


def precision_recall(labels: Sequence[bool], scores: Sequence[float]) -> tuple[Floats, Floats]:
    """Return recall and precision, a point a distinct score, from the highest score down; a positive must be there."""
    hits, misses = _ranked(labels, scores)
    return hits / hits[-1], hits / (hits + misses)


def average_precision(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """Return the sum of precision over each rise of recall, not interpolated; NaN without positives."""
    if not any(labels):
        return NAN
    recall, precision = precision_recall(labels, scores)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def f_beta(hits: float, found: float, wanted: float, beta: float = 1.0) -> float:
    """Return F-beta from true positives, predicted positives and actual positives; NaN where nothing is either."""
    denominator = beta**2 * wanted + found
    return (1 + beta**2) * hits / denominator if denominator else NAN


def decisions(labels: Sequence[bool], flagged: Sequence[bool]) -> dict[str, float]:
    """Return what the decisions at one threshold are worth: F1, F2, macro-F1, precision, recall, accuracy, share flagged.

    Macro-F1 is the mean of the F1 of the two classes. NaN where there is nothing to find: F1 and F2 without positives, macro-F1 where
    one of the classes is not there, precision where nothing is flagged.
    """
    truth, said = np.asarray(labels, dtype=bool), np.asarray(flagged, dtype=bool)
    hits, rejected = int((truth & said).sum()), int((~truth & ~said).sum())
    found, wanted = int(said.sum()), int(truth.sum())
    positive = f_beta(hits, found, wanted) if wanted else NAN
    negative = f_beta(rejected, len(said) - found, len(truth) - wanted)
    return {
        "f1": positive,
        "f2": f_beta(hits, found, wanted, 2.0) if wanted else NAN,
        "macro_f1": (positive + negative) / 2 if 0 < wanted < len(truth) else NAN,
        "precision": hits / found if found else NAN,
        "recall": hits / wanted if wanted else NAN,
        "accuracy": (hits + rejected) / len(truth) if len(truth) else NAN,
        "flagged": found / len(truth) if len(truth) else NAN,
    }


class Bin(NamedTuple):
    """The texts whose score is in [low, high), the last bin with its end: how many, their mean score, the share that is positive."""

    low: float
    high: float
    texts: int
    mean_score: float
    positive: float


def reliability(labels: Sequence[bool], scores: Sequence[float], bins: int = 15) -> list[Bin]:
    """Return the bins of equal width that hold a text (Guo et al. 2017, arXiv 1706.04599); scores are in [0, 1]."""
    truth, values = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    place = np.minimum((values * bins).astype(int), bins - 1)
    result = []
    for index in np.unique(place):
        inside = place == index
        low, high = float(index) / bins, float(index + 1) / bins
        result.append(Bin(low, high, int(inside.sum()), float(values[inside].mean()), float(truth[inside].mean())))
    return result


def calibration_error(curve: Sequence[Bin]) -> float:
    """Return the expected calibration error: how far score and share of positives are apart, weighted by texts; NaN without texts."""
    texts = sum(one.texts for one in curve)
    return sum(one.texts * abs(one.mean_score - one.positive) for one in curve) / texts if texts else NAN
