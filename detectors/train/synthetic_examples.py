"""Training, tuning and test texts that are made from templates, with their labels."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from detectors.evaluate.examples import UNKNOWN, Example, Labels, labels
from detectors.train.injection_texts import attack, lookalike, planted, planted_benign
from detectors.train.toxicity_texts import abuse, contrast, foreign, retort

ItemT = TypeVar("ItemT")
#: Split → (seed, factor of the counts below).
SPLITS = {"train": (1, 1.0), "tune": (2, 0.1), "test": (3, 0.1)}

#: Rows of (source, function of a random generator that returns a text, number of training texts, labels).
Table = tuple[tuple[str, Callable[..., str], int, Labels], ...]
#: Sources whose templates all splits share.
SHARED: Table = (
    ("own_attack", attack, 3600, labels(UNKNOWN, 1.0)),
    ("own_twin", lookalike, 3600, labels(0.0)),
    ("own_abuse", partial(abuse, "toxic"), 1000, labels(1.0)),
    ("own_harmless", partial(abuse, "harmless"), 1300, labels(0.0)),
)
#: Sources with separate templates for each split; the split is the second argument of the function.
BY_SPLIT: Table = (
    ("own_planted", planted, 3000, labels(UNKNOWN, 1.0)),
    ("own_carried", planted_benign, 3000, labels(0.0)),
    ("own_foreign", partial(foreign, "toxic"), 1500, labels(1.0)),
    ("own_foreign_harmless", partial(foreign, "harmless"), 1300, labels(0.0)),
)


def synthetic_examples() -> Iterator[Example]:
    """Yield the synthetic examples, without duplicates within a source and split."""
    for split, (seed, share) in SPLITS.items():
        for table, extra in ((SHARED, ()), (BY_SPLIT, (split,))):
            for source, make, count, known in table:
                texts = _distinct(make, int(count * share), seed, *extra)
                yield from (Example(text, known, 1.0, source, split) for text in texts)
        contrasts = contrast(int(5000 * share), random.Random(seed), split)
        for text, kind, toxic in dict.fromkeys(contrasts):
            yield Example(text, labels(toxic, **{kind: toxic}), 1.0, "own_contrast", split)
        for text, toxic, pictured in _distinct(retort, int(4000 * share), seed, split):
            yield Example(text, labels(toxic), 1.0, "own_pictured" if pictured else "own_retort", split)


def _distinct(make: Callable[..., ItemT], count: int, seed: int, *split: str) -> list[ItemT]:
    rng = random.Random(seed)
    return list(dict.fromkeys(make(rng, *split) for _ in range(count)))
