"""All synthetic training, tuning and test texts of this project, with their labels."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from detectors.evaluate.examples import UNKNOWN, Example, Labels, labels
from detectors.train.guarded_texts import asking, loaded, unrelated
from detectors.train.injection_texts import (
    attack,
    extraction,
    follow_up,
    long_prompt,
    lookalike,
    planted,
    planted_benign,
)
from detectors.train.refusal_texts import complying, declining, helping, mail, polite, refusal
from detectors.train.rule_texts import asked
from detectors.train.style_texts import styled, styled_harmless
from detectors.train.templates import fill, read_source
from detectors.train.toxicity_texts import abuse, contrast, foreign, harmless, reported, retort, reviewed

__all__ = ["synthetic_examples"]

ItemT = TypeVar("ItemT")
#: Split → (seed, factor of the counts below).
SPLITS = {"train": (1, 1.0), "tune": (2, 0.1), "test": (3, 0.1)}


def _personal(rng: random.Random) -> str:
    source = read_source("personal")
    return fill(rng.choice(source.templates["personal"]), source.slots, rng)


#: Rows of (source, function of a random generator that returns a text, number of training texts, labels).
Table = tuple[tuple[str, Callable[..., str], int, Labels], ...]
#: Sources whose templates all splits share.
SHARED: Table = (
    ("own_attack", attack, 3600, labels(UNKNOWN, 1.0)),
    ("own_twin", lookalike, 3600, labels(0.0)),
    ("own_extraction", extraction, 700, labels(UNKNOWN, 1.0, secret=1.0)),
    ("own_follow_up", follow_up, 1200, labels(0.0)),
    ("own_long", long_prompt, 500, labels(0.0)),
    ("own_refusal", refusal, 1200, labels(0.0, 0.0, 1.0)),
    ("own_comply", complying, 1200, labels(0.0)),
    ("own_abuse", abuse, 1000, labels(1.0)),
    ("own_harmless", harmless, 1300, labels(0.0)),
    ("own_personal", _personal, 400, labels(0.0)),
)
#: Sources with separate templates for each split; the split is the second argument of the function.
BY_SPLIT: Table = (
    ("own_declining", declining, 2600, labels(0.0, 0.0, 1.0)),
    ("own_helping", helping, 2600, labels(0.0)),
    ("own_planted", planted, 3000, labels(UNKNOWN, 1.0)),
    ("own_carried", planted_benign, 3000, labels(0.0)),
    ("own_style", styled, 3000, labels(UNKNOWN, 1.0)),
    ("own_styled", styled_harmless, 2400, labels(0.0)),
    ("own_asked", asked, 400, labels(0.0)),
    ("own_polite", polite, 1500, labels(0.0)),
    ("own_mail", mail, 800, labels(0.0)),
    ("own_guarded", loaded, 2200, labels(0.0, 1.0, secret=1.0)),
    ("own_guarded_bare", asking, 1400, labels(0.0, UNKNOWN, secret=1.0)),
    ("own_unguarded", unrelated, 1800, labels(0.0)),
    ("own_rude_review", partial(reviewed, "rude"), 2400, labels(0.0)),
    ("own_crime_report", partial(reviewed, "crime"), 1200, labels(0.0)),
    ("own_insulting_review", partial(reviewed, "toxic"), 800, labels(1.0)),
    ("own_foreign", partial(foreign, "toxic"), 1500, labels(1.0)),
    ("own_foreign_harmless", partial(foreign, "harmless"), 1300, labels(0.0)),
    ("own_reported", reported, 900, labels(0.0)),
)


def synthetic_examples() -> Iterator[Example]:
    """Yield the synthetic examples, without duplicates within a source and split."""
    for split, (seed, share) in SPLITS.items():
        for table, extra in ((SHARED, ()), (BY_SPLIT, (split,))):
            for source, make, count, known in table:
                texts = _distinct(make, int(count * share), seed, *extra)
                yield from (Example(text, known, 1.0, source, split) for text in texts)
        contrasts = contrast(int(5000 * share), random.Random(seed), split)  # noqa: S311 - reproducible text
        for text, kind, toxic in dict.fromkeys(contrasts):
            yield Example(text, labels(toxic, **{kind: toxic}), 1.0, "own_contrast", split)
        for text, toxic, pictured in _distinct(retort, int(4000 * share), seed, split):
            yield Example(text, labels(toxic), 1.0, "own_pictured" if pictured else "own_retort", split)


def _distinct(make: Callable[..., ItemT], count: int, seed: int, *split: str) -> list[ItemT]:
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    return list(dict.fromkeys(make(rng, *split) for _ in range(count)))
