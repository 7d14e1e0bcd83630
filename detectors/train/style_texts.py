"""Attacks of many styles, and harmless requests in the same styles; the wordings are in ``texts/styles.toml``."""

import base64
import random

from detectors.train.templates import capitalised, fill, of_split, read_source, varied

__all__ = ["styled", "styled_harmless", "wrapped"]

#: Share of texts whose wording says by itself whether the text is an attack.
LOADED = 0.55


def wrapped(verb: str, noun: str, split: str, rng: random.Random) -> str:
    """Return a goal, as a verb phrase and as a noun phrase, in the wording of a style that says nothing about the goal."""
    source = read_source("styles")
    words = verb.split()
    half = max(1, len(words) // 2)
    values = {
        "g": verb,
        "G": capitalised(verb),
        "n": noun,
        "n1": " ".join(words[:half]),
        "n2": " ".join(words[half:]),
        "mixed": ", ".join(rng.sample(words, len(words))),
        "spaced": " ".join(verb).replace("   ", "  "),
        "typos": "".join(c for c in verb if c == " " or rng.random() > 0.12),
        "b64": base64.b64encode(verb.encode()).decode(),
        "backwards": verb[::-1],
    }
    slots = {**source.slots, **{name: [value] for name, value in values.items() if name != "G"}}
    return fill(rng.choice(of_split(source.by_split["neutral"], split)), slots, rng)


def _goal(name: str, rng: random.Random) -> tuple[str, str]:
    verb, _, noun = rng.choice(read_source("styles").templates[name]).partition("|")
    return verb, noun


def styled(rng: random.Random, split: str) -> str:
    """Return an attack in one of many styles, from a wording of ``split``."""
    source = read_source("styles")
    verb, noun = _goal("bad", rng)
    if rng.random() < LOADED:
        slots = {**source.slots, "g": [verb]}
        return varied(capitalised(fill(rng.choice(of_split(source.by_split["loaded"], split)), slots, rng)), rng)
    return varied(capitalised(wrapped(verb, noun, split, rng)), rng)


def styled_harmless(rng: random.Random, split: str) -> str:
    """Return a harmless request in the same styles, from a wording of ``split``."""
    source = read_source("styles")
    if rng.random() < LOADED:
        return varied(fill(rng.choice(of_split(source.by_split["harmless"], split)), source.slots, rng), rng)
    return varied(capitalised(wrapped(*_goal("good", rng), split, rng)), rng)
