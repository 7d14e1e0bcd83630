"""Templates with slots, cut into splits of unseen wording: what the modules of own phrases share.

A template belongs to one split for good (its place modulo six), so figures on the tune and test splits are of wordings that
training has not seen; the words in its slots are shared.
"""

import random
from collections.abc import Mapping, Sequence

__all__ = ["PARTS", "fill", "items", "noisy", "part", "upper"]

#: Split to the positions (modulo six) of the templates that it may use.
PARTS = {"train": (0, 1, 2, 3), "tune": (4,), "test": (5,)}


def items(text: str) -> list[str]:
    """Return what stands between bars and line ends."""
    return [item.strip() for line in text.splitlines() for item in line.split("|") if item.strip()]


def part(text: str, split: str) -> list[str]:
    """Return the templates of a split."""
    return [item for index, item in enumerate(items(text)) if index % 6 in PARTS[split]]


def upper(text: str) -> str:
    """Return the text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def fill(template: str, slots: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """Fill every slot by chance; a slot of small letters that is named with a capital gets its value with one; backslash and n are a line end."""
    values = {name: rng.choice(choices) for name, choices in slots.items()}
    begun = {upper(name): upper(value) for name, value in values.items() if name.islower()}
    return template.replace("\\n", "\n").format(**values, **begun)


def noisy(text: str, rng: random.Random) -> str:
    """Write it as people do: sometimes in lower case, without its full stop, with a curly apostrophe or none."""
    roll = rng.random()
    if roll < 0.1:
        return text.lower()
    if roll < 0.2:
        return text.rstrip(".")
    if roll < 0.3:
        return text.replace("'", "\u2019")
    return text.replace("'", "") if roll < 0.33 else text
