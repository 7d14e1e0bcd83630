"""Templates of texts with slots to fill, from the files in ``texts``.

A template of a table ``by_split`` belongs to one split, by its index modulo six. So the tune and test splits measure
wordings that training has not seen. All splits share the words for the slots.
"""

import functools
import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from detectors.toml_files import read_toml

#: Split → indices (modulo six) of its templates.
PARTS = {"train": (0, 1, 2, 3), "tune": (4,), "test": (5,)}

Texts = Mapping[str, tuple[str, ...]]
ItemT = TypeVar("ItemT")


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system prompt, and requests that it forbids (``asks``) or allows (``fine``)."""

    system: str
    asks: tuple[str, ...]
    fine: tuple[str, ...]


class TextSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of one file of templates and words."""

    #: Name → templates: of ``by_split``, each belongs to one split; those of ``templates`` are shared by all splits.
    by_split: Texts = {}
    templates: Texts = {}
    #: Slot → words that `fill` draws, and name → words that a generator draws itself.
    slots: Texts = {}
    words: Texts = {}
    #: Groups of people: plural → singular.
    groups: Mapping[str, str] = {}
    scenarios: tuple[Scenario, ...] = ()


@functools.cache
def read_source(name: str) -> TextSource:
    """Return the texts of ``texts/NAME.toml``."""
    return read_toml("detectors.train", f"texts/{name}.toml", TextSource)


def of_split(templates: Sequence[ItemT], split: str) -> list[ItemT]:
    """Return the templates that belong to a split."""
    return [template for index, template in enumerate(templates) if index % 6 in PARTS[split]]


def capitalised(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def fill(template: str, slots: Texts | Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """Fill every slot with a random word; a slot that is written with a capital gets a capitalised word."""
    values = {name: rng.choice(words) for name, words in slots.items()}
    begun = {capitalised(name): capitalised(value) for name, value in values.items() if name.islower()}
    return template.format(**values, **begun)


def varied(text: str, rng: random.Random) -> str:
    """Vary the spelling at random: lower case, no full stop, a curly apostrophe or no apostrophe."""
    roll = rng.random()
    if roll < 0.1:
        return text.lower()
    if roll < 0.2:
        return text.rstrip(".")
    if roll < 0.3:
        return text.replace("'", "\u2019")
    return text.replace("'", "") if roll < 0.33 else text
