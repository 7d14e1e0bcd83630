"""Choose the one threshold of a detector on a split that nothing was trained on."""

from collections.abc import Sequence

import numpy as np

from detectors.errors import DataError

__all__ = ["choose_threshold"]


def choose_threshold(
    labels: Sequence[bool], scores: Sequence[float], ordinary: Sequence[float] = (), most: float = 0.02
) -> float:
    """Return the threshold of the highest macro-F1 among those that flag at most ``most`` of the ordinary prompts.

    Parameters
    ----------
    labels, scores
        The tuning split; both classes are there.
    ordinary
        Scores of ordinary prompts, which should not be flagged.
    most
        In [0, 1]; a threshold above every ordinary score is always allowed.

    Returns
    -------
    float
        Half-way between two neighbouring scores, in (0, 1); a text at or above it is flagged.

    Raises
    ------
    DataError
        The tuning split lacks one of the classes.
    """
    truth, values = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        raise DataError(
            f"a threshold cannot be chosen on {positives} positive and {negatives} negative texts: both are needed"
        )
    every = np.unique(np.concatenate([values, np.asarray(ordinary, dtype=float), [0.0, 1.0]]))
    between = (every[:-1] + every[1:]) / 2
    hits = positives - np.searchsorted(np.sort(values[truth]), between)
    alarms = negatives - np.searchsorted(np.sort(values[~truth]), between)
    positive = 2 * hits / (hits + alarms + positives)
    rejected, missed = negatives - alarms, positives - hits
    negative = 2 * rejected / (rejected + missed + negatives)
    bystanders = np.sort(np.asarray(ordinary, dtype=float))
    flagged = (len(bystanders) - np.searchsorted(bystanders, between)) / max(1, len(bystanders))
    # Of none within the bound, the highest threshold: it flags the fewest.
    worth = np.where(flagged <= most, positive + negative, -1.0)
    return float(between[int(worth.argmax())] if (worth >= 0).any() else between[-1])
