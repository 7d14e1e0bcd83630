"""A labelled text for the shared encoder's tasks; all sources of public and synthetic data are read as such examples.

An example has one label per task. The label is NaN if it is unknown: for example, a jailbreak may or may not be toxic.
"""

import math
from typing import NamedTuple

from detectors.models.multitask import CATEGORIES

UNKNOWN = math.nan
Labels = tuple[float, ...]


class Example(NamedTuple):
    """A text and its labels, in the order of `multitask.OUTPUTS`: tasks, categories of toxicity, requests for a secret."""

    text: str
    labels: Labels
    weight: float
    source: str
    split: str = "train"


def labels(
    toxicity: float, injection: float = 0.0, refusal: float = 0.0, *, secret: float | None = None, **known: float
) -> Labels:
    """Return the labels of a text.

    A category not in ``known`` has label 0 if ``toxicity`` is 0, else NaN (unknown). The default of ``secret`` is 0 if
    ``injection`` is 0, else NaN.
    """
    rest = 0.0 if toxicity == 0.0 else UNKNOWN
    if secret is None:
        secret = 0.0 if injection == 0.0 else UNKNOWN
    return (toxicity, injection, refusal, *(known.get(name, rest) for name in CATEGORIES), secret)
