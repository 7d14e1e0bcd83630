"""A text with its labels: what every source of training data gives.

Each carries one label a task, NaN where nobody knows: a jailbreak may or may not be toxic.
"""

import math
from typing import NamedTuple

from detectors.models.multitask import CATEGORIES

__all__ = ["UNKNOWN", "Example", "Labels", "labels"]

UNKNOWN = math.nan
Labels = tuple[float, ...]


class Example(NamedTuple):
    """A text and its labels in the order of `detectors.models.multitask.OUTPUTS`: tasks, then categories of toxicity."""

    text: str
    labels: Labels
    weight: float
    source: str
    split: str = "train"


def labels(toxicity: float, injection: float = 0.0, refusal: float = 0.0, **known: float) -> Labels:
    """Return the labels of a text; a harmless one is of no category, a toxic one of those that are ``known``."""
    rest = 0.0 if toxicity == 0.0 else UNKNOWN
    return (toxicity, injection, refusal, *(known.get(name, rest) for name in CATEGORIES))
