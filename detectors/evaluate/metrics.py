"""Classification metrics of scikit-learn, with NaN if a metric is undefined, and calibration metrics.

scikit-learn's calibration curve is not used: it has no counts, and puts a score between two bins into the lower bin.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, fbeta_score, precision_recall_fscore_support, roc_auc_score

NAN = float("nan")
Labels = Sequence[bool] | NDArray[np.bool_]
Scores = Sequence[float] | NDArray[np.float64]


def auroc(labels: Labels, scores: Scores) -> float:
    """Return the probability that a positive has a higher score than a negative; NaN if a class is missing.

    A tie counts as one half.
    """
    return float(roc_auc_score(labels, scores)) if np.any(labels) and not np.all(labels) else NAN


def average_precision(labels: Labels, scores: Scores) -> float:
    """Return the mean precision over all thresholds, weighted by the increase of recall; NaN without positives."""
    return float(average_precision_score(labels, scores)) if np.any(labels) else NAN


def f_beta(hits: float, found: float, wanted: float, beta: float = 1.0) -> float:
    """Return F-beta from the numbers of true, predicted and actual positives; NaN if the last two numbers are 0."""
    denominator = beta**2 * wanted + found
    return (1 + beta**2) * hits / denominator if denominator else NAN


def count_metrics(hits: int, found: int, wanted: int) -> dict[str, float]:
    """Return F1, F2, precision and recall from the numbers of matches, found and labelled items."""
    return {
        "f1": f_beta(hits, found, wanted),
        "f2": f_beta(hits, found, wanted, 2.0),
        "precision": hits / found if found else NAN,
        "recall": hits / wanted if wanted else NAN,
    }


def decisions(labels: Sequence[bool], flagged: Sequence[bool]) -> dict[str, float]:
    """Return F1, F2, macro-F1, precision, recall, accuracy and the flagged share of the decisions at one threshold.

    Macro-F1 is the mean of the F1 of both classes. Undefined metrics are NaN: F1, F2 and recall without positives,
    macro-F1 if a class is missing, and precision if nothing is flagged.
    """
    precision, recall, f1, texts = precision_recall_fscore_support(
        labels, flagged, labels=[False, True], zero_division=np.nan
    )
    positive = bool(texts[1])
    return {
        "f1": float(f1[1]) if positive else NAN,
        "f2": float(fbeta_score(labels, flagged, beta=2)) if positive else NAN,
        "macro_f1": float(f1.mean()) if texts.all() else NAN,
        "precision": float(precision[1]),
        "recall": float(recall[1]),
        "accuracy": float(np.mean(np.equal(labels, flagged))),
        "flagged": float(np.mean(flagged)),
    }


class Bin(NamedTuple):
    """A bin of the scores in [low, high) (last bin: [low, 1]): number of texts, mean score, share of positives."""

    low: float
    high: float
    texts: int
    mean_score: float
    positive: float


def reliability(labels: Labels, scores: Scores, bins: int = 15) -> list[Bin]:
    """Return the reliability curve of scores in [0, 1]: the non-empty bins of equal width (arXiv 1706.04599)."""
    truth, values = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    indices = np.minimum((values * bins).astype(int), bins - 1)
    texts, scored, positive = (np.bincount(indices, weights, minlength=bins) for weights in (None, values, truth))
    means, shares = scored / np.maximum(texts, 1), positive / np.maximum(texts, 1)
    return [
        Bin(index / bins, (index + 1) / bins, int(texts[index]), float(means[index]), float(shares[index]))
        for index in np.flatnonzero(texts).tolist()
    ]


def calibration_error(curve: Sequence[Bin]) -> float:
    """Return the expected calibration error: the mean of |score - share of positives| over texts; NaN without texts."""
    texts = sum(one.texts for one in curve)
    return sum(one.texts * abs(one.mean_score - one.positive) for one in curve) / texts if texts else NAN
