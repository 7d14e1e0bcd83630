"""Fit of the constants with which injection scores a request beside a system prompt with a secret.

A logistic regression on the readings of `detectors.text.system_rules`. Its texts are of the tune split, by authors
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

#: Share of requests for the secret, by weight. Beside the system prompt, at the threshold .82, the score finds 70 % of the held-out
#: authors' requests and flags 5 % of the honest ones; the text alone 50 and 1 %. With .5, earlier weights found 4 points more of the
#: requests and flagged 2 points more of the honest ones.
PREVALENCE = 0.4
#: Weight of the squared slopes in the loss.
PENALTY = 0.01


def fit_conflict(detector: InjectionDetector, held: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """Return a slope for each reading, at least 0, and a shift, for `detectors.text.system_rules.conflict_log_odds`.

    ``held`` are examples of the tune split. Of a detector with a second stage, the texts count which it has read.
    """
    rng = random.Random(seed)
    rows = [one for one in guarded_pairs() if guards_secret([Turn(role="system", content=one[0])])]
    harmless = [e.text for e in held if e.labels[TASKS.index("injection")] == 0 == e.labels[-1]]
    systems = [system for system, _, _ in rows]
    rows += [(rng.choice(systems), text, 0.0) for text in rng.sample(harmless, min(len(rows), len(harmless)))]
    texts = [text for _, text, _ in rows]
    found = detector.conflict_readings(texts, detector.log_odds(texts)[0], [system for system, _, _ in rows])
    read = [row for row, readings in enumerate(found) if len(readings) == max(map(len, found))]
    inputs = np.array([found[row] for row in read])
    labels = np.array([label for _, _, label in rows])
    weights = np.where(labels == 1, PREVALENCE / labels.sum(), (1 - PREVALENCE) / (1 - labels).sum())[read]
    labels = labels[read]

    def loss(point: NDArray[np.float64]) -> float:
        logits = inputs @ point[:-1] + point[-1]
        return float(
            (weights * (np.logaddexp(0.0, logits) - labels * logits)).sum() + PENALTY * (point[:-1] ** 2).sum()
        )

    slopes = inputs.shape[1]
    start, bounds = np.array([0.5] * slopes + [-1.0]), [(0.0, 20.0)] * slopes + [(-30.0, 10.0)]
    constants: NDArray[np.float64] = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    return constants
