"""Fit of the constants with which injection scores a request beside a system prompt with a secret.

A logistic regression on the three readings of `detectors.text.system_rules`. Its texts are of the tune split, whose
wordings the encoder's heads have not learned: a third are requests for the secret, a third harmless requests to the same
assistants, and a third harmless texts of all other sources.
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
from detectors.text.system_rules import secrets_of
from detectors.train.guarded_texts import pair

__all__ = ["fit_conflict", "pairs_of"]

PAIRS = 1200
#: Share of requests for the secret, by weight. It is lower than among the pairs, because most requests to such assistants are harmless.
PREVALENCE = 0.1
#: Weight of the squared slopes in the loss.
PENALTY = 0.01


def pairs_of(examples: Sequence[Example], split: str, count: int, seed: int) -> list[tuple[str, str, float]]:
    """Return ``count`` pairs of `guarded_texts.pair`, and half as many harmless ``examples`` of the split beside their prompts."""
    rng = random.Random(seed)  # noqa: S311 - reproducible pairs, not secrets
    pairs = [pair(rng, split) for _ in range(count)]
    harmless = [
        e.text for e in examples if e.split == split and e.labels[TASKS.index("injection")] == 0 == e.labels[-1]
    ]
    return pairs + [(rng.choice(pairs)[0], text, 0.0) for text in rng.sample(harmless, min(count // 2, len(harmless)))]


def fit_conflict(detector: InjectionDetector, examples: Sequence[Example], seed: int) -> NDArray[np.float64]:
    """Return three slopes, at least 0, and a shift, for `detectors.text.system_rules.conflict_log_odds`."""
    rows = [
        (text, rules, label)
        for system, text, label in pairs_of(examples, "tune", PAIRS, seed)
        if (rules := secrets_of([Turn(role="system", content=system)]))
    ]
    texts = [text for text, *_ in rows]
    labels = np.array([label for *_, label in rows])
    inputs = np.array(detector.conflict_readings(texts, detector.log_odds(texts)[0], [rules for _, rules, _ in rows]))
    weights = np.where(labels == 1, PREVALENCE / labels.sum(), (1 - PREVALENCE) / (1 - labels).sum())

    def loss(point: NDArray[np.float64]) -> float:
        logits = inputs @ point[:3] + point[3]
        return float((weights * (np.logaddexp(0.0, logits) - labels * logits)).sum() + PENALTY * (point[:3] ** 2).sum())

    bounds = [(0.0, 20.0)] * 3 + [(-30.0, 10.0)]
    found: NDArray[np.float64] = minimize(loss, np.array([0.5, 0.5, 2.0, -1.0]), method="L-BFGS-B", bounds=bounds).x
    return found
