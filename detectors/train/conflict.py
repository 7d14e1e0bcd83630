"""Fit of the constants with which injection scores a request beside a system prompt with a secret.

A logistic regression on the two readings of `detectors.text.system_rules`. Its texts are of the tune split, by authors
on whose texts the encoder was not trained: requests for the secret, harmless requests to the same assistants, and harmless
texts of all other sources.
"""

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from detectors.base import Turn
from detectors.evaluate.examples import Example
from detectors.models.multitask import TASKS
from detectors.text.injection import InjectionDetector
from detectors.text.system_rules import guards_secret
from detectors.train.written_texts import guarded_pairs

__all__ = ["fit_conflict"]

#: Share of requests for the secret, by weight. Beside the system prompt, at the threshold .82, the score finds 70 % of the held-out
#: authors' requests and flags 5 % of the honest ones; the text alone 50 and 1 %. With .5, earlier weights found 4 points more of the
#: requests and flagged 2 points more of the honest ones.
PREVALENCE = 0.4
#: Weight of the squared slopes in the loss.
PENALTY = 0.01


def fit_conflict(detector: InjectionDetector, held: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """Return two slopes, at least 0, and a shift, for `detectors.text.system_rules.conflict_log_odds`; ``held`` are examples of the tune split."""
    rng = random.Random(seed)
    pairs = guarded_pairs()
    harmless = [e.text for e in held if e.labels[TASKS.index("injection")] == 0 == e.labels[-1]]
    rows = [(text, label) for system, text, label in pairs if guards_secret([Turn(role="system", content=system)])]
    rows += [(text, 0.0) for text in rng.sample(harmless, min(len(rows), len(harmless)))]
    texts = [text for text, _ in rows]
    labels = np.array([label for _, label in rows])
    inputs = np.array(detector.conflict_readings(texts, detector.log_odds(texts)[0]))
    weights = np.where(labels == 1, PREVALENCE / labels.sum(), (1 - PREVALENCE) / (1 - labels).sum())

    def loss(point: NDArray[np.float64]) -> float:
        logits = inputs @ point[:2] + point[2]
        return float((weights * (np.logaddexp(0.0, logits) - labels * logits)).sum() + PENALTY * (point[:2] ** 2).sum())

    bounds = [(0.0, 20.0)] * 2 + [(-30.0, 10.0)]
    found: NDArray[np.float64] = minimize(loss, np.array([0.5, 0.5, -1.0]), method="L-BFGS-B", bounds=bounds).x
    return found
