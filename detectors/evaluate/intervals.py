"""95 % confidence intervals of metrics.

Shares have Wilson's interval (1927), which is not empty at 0 or 1. Other metrics have the percentile bootstrap over texts
(Efron and Tibshirani 1993). Texts count as independent, so intervals are too narrow for a set of few templates. ECE has
no interval. With few texts in a bin, ECE is too high, and in a resample even higher, so a percentile interval of
calibrated scores is above the true value.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from detectors.evaluate.metrics import auroc, average_precision, count_metrics, f_beta

Interval = tuple[float, float]
_RESAMPLES, _LEVEL, _SEED = 400, 0.95, 0
Metrics = Callable[[NDArray[np.intp]], Mapping[str, float]]


def share(hits: int, total: int) -> Interval:
    """Return the interval of the share ``hits / total``; (NaN, NaN) if ``total`` is 0."""
    if not total:
        return (float("nan"), float("nan"))
    found = binomtest(hits, total).proportion_ci(_LEVEL, method="wilson")
    return (float(found.low), float(found.high))


def _resampled(metrics: Metrics, texts: int) -> dict[str, Interval]:
    """Return the interval of each metric; ``metrics`` computes them for an array of indices of texts.

    A metric with the same value in all resamples, such as the F1 of a set without an error, has the interval (NaN, NaN).
    `scipy.stats.bootstrap` is not used: it takes one metric at a time, and warns if all texts are alike.
    """
    if not texts:
        return {}
    names = [name for name, value in metrics(np.arange(texts)).items() if not np.isnan(value)]
    rng = np.random.default_rng(_SEED)
    found = [metrics(rng.integers(texts, size=texts)) for _ in range(_RESAMPLES)]
    tails = [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]
    bounds = {name: np.nanquantile([one[name] for one in found], tails) for name in names}
    unknown = (float("nan"), float("nan"))
    return {name: (float(low), float(high)) if low < high else unknown for name, (low, high) in bounds.items()}


def _f(wanted: NDArray[np.bool_], found: NDArray[np.bool_], beta: float) -> float:
    """Return F-beta, or NaN if no text is wanted, as `metrics.decisions` does."""
    return f_beta(int((wanted & found).sum()), int(found.sum()), int(wanted.sum()), beta) if wanted.any() else np.nan


def of_labels(labels: Sequence[bool], scores: Sequence[float], flagged: Sequence[bool]) -> dict[str, Interval]:
    """Return the intervals of AUROC, average precision, F1, F2, macro-F1, recall, precision and the flagged share."""
    truth, values, chosen = np.array(labels, bool), np.array(scores, float), np.array(flagged, bool)

    def metrics(rows: NDArray[np.intp]) -> dict[str, float]:
        known, given, found = truth[rows], values[rows], chosen[rows]
        f1, other = (_f(known == kind, found == kind, 1.0) for kind in (True, False))
        return {
            "f1": f1,
            "f2": _f(known, found, 2.0),
            "macro_f1": (f1 + other) / 2,
            "auroc": auroc(known, given),
            "average_precision": average_precision(known, given),
        }

    hits = int((truth & chosen).sum())
    return _resampled(metrics, len(truth)) | {
        "recall": share(hits, int(truth.sum())),
        "precision": share(hits, int(chosen.sum())),
        "flagged": share(int(chosen.sum()), len(chosen)),
    }


def of_counts(counts: Sequence[Sequence[int]]) -> dict[str, Interval]:
    """Return the intervals of F1, F2, precision and recall from (hits, found, labelled) of each text.

    A precision or recall of 0 or 1 is the same in every resample, so its interval is Wilson's interval over the texts.
    """
    table = np.array(counts, dtype=np.int64).reshape(-1, 3)
    intervals = _resampled(lambda rows: count_metrics(*table[rows].sum(0).tolist()), len(table))
    for name, column in (("precision", 1), ("recall", 2)):
        hits, total, texts = table[:, 0].sum(), table[:, column].sum(), int((table[:, column] > 0).sum())
        if total and hits in (0, total):
            intervals[name] = share(texts if hits else 0, texts)
    return intervals
