"""All synthetic texts of this project with their labels, by split."""

import random
from collections.abc import Callable, Iterator

from detectors.evaluate.examples import UNKNOWN, Example, Labels, labels
from detectors.train.injection_texts import (
    attacks,
    extractions,
    follow_ups,
    long_prompts,
    lookalikes,
    planted,
    planted_benign,
)
from detectors.train.refusal_texts import complies, declining, helping, refusals
from detectors.train.templates import fill, read_source
from detectors.train.toxicity_texts import abuse, contrast, harmless, retorts

__all__ = ["synthetic_examples"]

#: Split → (seed, share of the counts below).
SPLITS = {"train": (1, 1.0), "tune": (2, 0.1), "test": (3, 0.1)}


def _personal(count: int, seed: int) -> Iterator[str]:
    """Yield harmless prompts with names, phone numbers and cities."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    source = read_source("personal")
    for _ in range(count):
        yield fill(rng.choice(source.templates["personal"]), source.slots, rng)


#: Source, generator of (count, seed), texts of the training split, and their labels. The splits share the templates.
SHARED: tuple[tuple[str, Callable[[int, int], Iterator[str]], int, Labels], ...] = (
    ("own_attack", attacks, 3600, labels(UNKNOWN, 1.0)),
    ("own_twin", lookalikes, 3600, labels(0.0)),
    ("own_extraction", extractions, 700, labels(UNKNOWN, 1.0)),
    ("own_follow_up", follow_ups, 1200, labels(0.0)),
    ("own_long", long_prompts, 500, labels(0.0)),
    ("own_refusal", refusals, 1200, labels(0.0, 0.0, 1.0)),
    ("own_comply", complies, 1200, labels(0.0)),
    ("own_abuse", abuse, 1000, labels(1.0)),
    ("own_harmless", harmless, 1300, labels(0.0)),
    ("own_personal", _personal, 400, labels(0.0)),
)
#: The same of (count, seed, split). Each split has templates of its own.
BY_SPLIT: tuple[tuple[str, Callable[[int, int, str], Iterator[str]], int, Labels], ...] = (
    ("own_declining", declining, 2600, labels(0.0, 0.0, 1.0)),
    ("own_helping", helping, 2600, labels(0.0)),
    ("own_planted", planted, 3000, labels(UNKNOWN, 1.0)),
    ("own_carried", planted_benign, 3000, labels(0.0)),
)


def synthetic_examples() -> Iterator[Example]:
    """Yield every synthetic text once a source and split."""
    for split, (seed, share) in SPLITS.items():
        generated = [(source, make(int(count * share), seed), known) for source, make, count, known in SHARED]
        generated += [(source, make(int(count * share), seed, split), known) for source, make, count, known in BY_SPLIT]
        for source, texts, known in generated:
            yield from (Example(text, known, 1.0, source, split) for text in dict.fromkeys(texts))
        for text, kind, toxic in dict.fromkeys(contrast(int(5000 * share), seed, split)):
            yield Example(text, labels(toxic, **{kind: toxic}), 1.0, "own_contrast", split)
        for text, toxic, pictured in dict.fromkeys(retorts(int(4000 * share), seed, split)):
            yield Example(text, labels(toxic), 1.0, "own_pictured" if pictured else "own_retort", split)
