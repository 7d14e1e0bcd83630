"""The training texts of the shared encoder, and the mixture of their sources in a run."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectors.evaluate.examples import Example
from detectors.evaluate.public_sets import public_examples
from detectors.train.real_texts import planted_examples, real_examples
from detectors.train.synthetic_examples import synthetic_examples
from detectors.train.system_texts import system_examples
from detectors.train.written_texts import written_examples


def load_examples(root: Path, seed: int = 0) -> list[Example]:
    """Return the public examples, balanced and split, the texts of real origin, the synthetic and the written examples."""
    return [
        *public_examples(root, seed),
        *planted_examples(root, seed),
        *real_examples(root, seed),
        *system_examples(seed),
        *synthetic_examples(),
        *written_examples(),
    ]


def sample_mixture(
    examples: Sequence[Example], seed: int, mixture: Mapping[str, float], default: float
) -> list[Example]:
    """Return a random sample with a mean number of copies of each example: that of its source in `mixture`, else `default`."""
    rng = random.Random(seed)
    found: list[Example] = []
    for example in examples:
        whole, rest = divmod(mixture.get(example.source, default), 1.0)
        found += [example] * (int(whole) + (rng.random() < rest))
    return found
