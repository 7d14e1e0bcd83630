"""A logistic regression on the words and runs of two and three words of a text, weighted by TF-IDF.

The model needs neither scikit-learn nor torch, and takes 0.1 to 2 ms per 1,000 characters. `detectors.train.secrets_trainer` trains it with
scikit-learn; both compute the same TF-IDF with binary counts.
"""

import math
import re
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors

from detectors.models.weight_files import SECRETS, WeightFile

#: A word or a punctuation mark, in lower case; a term is up to `WORDS` of them.
PIECE = r"\b\w+\b|[^\w\s]"
WORDS = 3
#: A long text is read in windows of this many words and marks; each window begins `STRIDE` after the previous window.
WINDOW, STRIDE = 200, 100
_PIECE = re.compile(PIECE)


class TermModel:
    """The model: the inverse document frequency and the weight of each term, and the bias."""

    def __init__(
        self, terms: list[str], frequencies: NDArray[np.float32], weights: NDArray[np.float32], bias: float
    ) -> None:
        pairs: list[tuple[float, float]] = list(zip(frequencies.tolist(), weights.tolist(), strict=True))
        self._terms = dict(zip(terms, pairs, strict=True))
        self._bias = bias

    def log_odds(self, text: str) -> float:
        """Return the log-odds that a text is positive; of a long text, the highest of its windows."""
        tokens = _PIECE.findall(text.lower())
        starts = range(0, max(1, len(tokens) - WINDOW + STRIDE), STRIDE)
        return max(self._window(tokens[start : start + WINDOW]) for start in starts)

    def _window(self, tokens: list[str]) -> float:
        # Sorted, because the order of a set differs between processes, and so would the rounding of the sums.
        found = sorted(self._terms[term] for term in set(_terms_of(tokens)) if term in self._terms)
        norm = math.hypot(*(frequency for frequency, _ in found))
        return sum(frequency * weight for frequency, weight in found) / (norm or 1.0) + self._bias


def _terms_of(tokens: list[str]) -> Iterator[str]:
    for size in range(1, WORDS + 1):
        for start in range(len(tokens) - size + 1):
            yield " ".join(tokens[start : start + size])


@cache
def load_secrets(weights: WeightFile = SECRETS) -> TermModel:
    """Load the model that decides whether a system prompt keeps something secret from its users.

    Raises WeightsError if the file is missing, or if its SHA-256 is wrong.
    """
    state = load_safetensors(weights.read())
    terms = state["terms"].tobytes().decode().split("\n")
    return TermModel(terms, state["frequencies"], state["weights"], float(state["bias"][0]))
