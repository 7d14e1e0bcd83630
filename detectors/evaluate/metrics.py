"""Metrics in numpy, as the text books define them."""

from collections.abc import Iterable, Sequence

import numpy as np

from detectors.base import Span

__all__ = ["auroc", "f_beta", "overlap", "span_counts", "summary"]


def auroc(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """Return the probability that a positive scores above a negative, ties half; NaN where one of them is missing."""
    truth, values = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    positive, negative = values[truth], np.sort(values[~truth])
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, side="left")
    upto = np.searchsorted(negative, positive, side="right")
    return float((below + upto).mean() / 2 / len(negative))


def f_beta(hits: float, found: float, wanted: float, beta: float = 1.0) -> float:
    """Return F-beta from true positives, predicted positives and actual positives."""
    denominator = beta**2 * wanted + found
    return (1 + beta**2) * hits / denominator if denominator else float("nan")


def summary(labels: Sequence[bool], scores: Sequence[float], flagged: Sequence[bool]) -> dict[str, float]:
    """Return AUROC, F1, precision, recall and macro-F1 of decisions."""
    truth, said = np.asarray(labels, dtype=bool), np.asarray(flagged, dtype=bool)
    hits, rejected = int((truth & said).sum()), int((~truth & ~said).sum())
    positive = f_beta(hits, int(said.sum()), int(truth.sum()))
    negative = f_beta(rejected, int((~said).sum()), int((~truth).sum()))
    return {
        "texts": float(len(truth)),
        "positive": float(truth.sum()),
        "auroc": auroc(labels, scores),
        "f1": positive,
        "macro_f1": (positive + negative) / 2,
        "precision": hits / said.sum() if said.any() else float("nan"),
        "recall": hits / truth.sum() if truth.any() else float("nan"),
    }


def overlap(one: Span, other: Span) -> float:
    """Return the intersection of two spans over their union."""
    shared = max(0, min(one.end, other.end) - max(one.start, other.start))
    return shared / (one.end - one.start + other.end - other.start - shared)


def span_counts(found: Iterable[Span], wanted: Iterable[Span], least: float = 0.5) -> tuple[int, int, int]:
    """Return (hits, found, wanted) of spans of one type that match with an overlap of ``least``, each span once."""
    remaining = list(found)
    total, wishes, hits = len(remaining), list(wanted), 0
    for wish in wishes:
        match = max(remaining, key=lambda span: overlap(span, wish), default=None)
        if match is not None and overlap(match, wish) >= least:
            remaining.remove(match)
            hits += 1
    return hits, total, len(wishes)
