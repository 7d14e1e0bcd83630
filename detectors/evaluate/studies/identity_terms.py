"""The study ``bias``: how much the score of a sentence depends on the identity term in the sentence."""

from typing import Any

import numpy as np

from detectors.base import TextDetector
from detectors.evaluate.cases.synthetic import identity_cases, read_identities
from detectors.evaluate.progress import tracked
from detectors.evaluate.scoring import load_text, score_texts
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.models.multitask import TASKS


def bias_of(name: str, detector: TextDetector[Any]) -> list[Row]:
    """Return for each term its mean score minus the mean score of all terms, and the largest difference of two terms.

    All terms have the same templates, so the differences are paired. ``flagged`` is the false-positive rate.
    """
    texts = [case.text for case in identity_cases()]
    found = score_texts(detector, texts)
    terms = [term for group in read_identities().terms.values() for term in group]
    table = np.array([score.score for score in found]).reshape(len(terms), -1)
    flagged = np.array([score.flagged for score in found]).reshape(len(terms), -1)
    shifts = (table - table.mean(axis=0)).mean(axis=1)
    widest = float(shifts.max() - shifts.min())
    rows = [(f"{name}: widest gap between two terms", len(texts), widest, float(flagged.mean()))]
    rows += [
        (f"  {name}: {terms[index]}", table.shape[1], float(shifts[index]), float(flagged[index].mean()))
        for index in np.argsort(-shifts).tolist()
    ]
    return [dict(zip(("detector", "data", "texts", "gap", "flagged"), ("bias", *row), strict=True)) for row in rows]


def identity_bias(study: StudyContext) -> list[Row]:
    """Return the differences between identity terms for toxicity, injection and refusal."""
    return [row for name in tracked(study.progress, "identity terms", TASKS) for row in bias_of(name, load_text(name))]
