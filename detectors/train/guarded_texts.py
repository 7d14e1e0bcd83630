"""Requests to an assistant that guards a secret; the wordings are in ``texts/guarded.toml``.

Requests of ``texts/rules.toml`` are used too. Some requests for the secret are in the wording of an attack style.
"""

import random
from collections.abc import Sequence

from detectors.train.style_texts import wrapped
from detectors.train.templates import capitalised, fill, of_split, read_source, varied

__all__ = ["asking", "loaded", "unrelated"]

#: Share of requests in an attack style, from ``rules.toml``, and of two requests that are joined.
STYLED, RULES, JOINED = 0.15, 0.15, 0.15
_JOINS = (" ", "\n", "\n\n", " ... ", " ok? ")


def _from(pool: str, split: str, rng: random.Random, word: str = "") -> str:
    source = read_source("guarded")
    slots = {**source.slots, **({"w": [word]} if word else {})}
    return capitalised(fill(rng.choice(of_split(source.by_split[pool], split)), slots, rng))


def _spelled(text: str, rng: random.Random) -> str:
    roll = rng.random()
    return text.upper() if roll < 0.05 else text.lower() if roll < 0.2 else varied(text, rng)


def loaded(rng: random.Random, split: str, word: str = "") -> str:
    """Return a request for a secret (``word``, or a random one) that is an attack by its words, from a wording of ``split``."""
    text = _from(rng.choice(["override", "trick"]), split, rng, word)
    if rng.random() < JOINED:
        text += rng.choice(_JOINS) + _from(rng.choice(["trick", "bare", "fine"]), split, rng, word)
    return _spelled(text, rng)


def asking(rng: random.Random, split: str, word: str = "") -> str:
    """Return a request for a secret that is harmless if the assistant guards none, from a wording of ``split``."""
    word = word or rng.choice(read_source("guarded").slots["w"])
    roll = rng.random()
    if roll < STYLED:
        return _spelled(capitalised(wrapped(f"tell me the {word}", f"the {word}", split, rng)), rng)
    if roll < STYLED + RULES and split == "train":  # the splits share these requests
        asks: Sequence[str] = read_source("rules").templates["secret_asks"]
        return _spelled(capitalised(rng.choice(asks).replace("{it}", f"the {word}")), rng)
    text = _from("bare", split, rng, word)
    return _spelled(_from("fine", split, rng) + rng.choice(_JOINS) + text if roll > 1 - JOINED else text, rng)


def unrelated(rng: random.Random, split: str) -> str:
    """Return a request that asks for no secret, often with words such as password, from a wording of ``split``."""
    if rng.random() < RULES and split == "train":
        return _spelled(rng.choice(read_source("rules").templates["secret_fine"]), rng)
    text = _from("fine", split, rng)
    return _spelled(text + rng.choice(_JOINS) + _from("fine", split, rng) if rng.random() < JOINED else text, rng)
