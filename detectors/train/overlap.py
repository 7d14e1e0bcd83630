"""A scan for texts of an evaluation set in the training data: the share of texts with a common run of eight words."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["WORDS", "overlapping"]

#: Length of a run of words that counts as overlap (as in Brown et al., arXiv 2005.14165, with shorter runs).
WORDS = 8
_WORD = re.compile(r"\w+")


def _runs(text: str) -> set[int]:
    words = _WORD.findall(text.lower())
    return {hash(tuple(words[at : at + WORDS])) for at in range(len(words) - WORDS + 1)}


def overlapping(training: Iterable[str], evaluation: Sequence[str]) -> list[int]:
    """Return the indices of the evaluation texts that share a run of `WORDS` words with a training text."""
    found = [_runs(text) for text in evaluation]
    wanted = set().union(*found)
    seen = {run for text in training for run in _runs(text) & wanted}
    return [index for index, runs in enumerate(found) if runs & seen]
