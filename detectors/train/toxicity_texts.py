"""Synthetic toxic texts, and harmless texts with the same words, groups of people and emoji.

The templates, with reasons, are in ``texts``: ``abuse.toml``, ``contrast.toml``, ``retorts.toml`` and ``foreign.toml``
(other languages).
"""

import random
from collections.abc import Iterator

from detectors.train.templates import capitalised, fill, of_split, read_source, varied

#: Rows of (kind, name of the templates in contrast.toml, label of toxicity, weight).
POOLS = (
    ("hate", "hateful", 1.0, 8),
    ("hate", "decent", 0.0, 9),
    ("harassment", "profane_toxic", 1.0, 3),
    ("harassment", "profane_harmless", 0.0, 4),
    ("sexual", "sexual", 1.0, 1),
    ("sexual", "sexual_harmless", 0.0, 1),
    ("self_harm", "self_harm", 1.0, 1),
    ("self_harm", "self_harm_harmless", 0.0, 1),
    ("violence", "violence", 1.0, 1),
    ("violence", "violence_harmless", 0.0, 1),
)


def abuse(name: str, rng: random.Random) -> str:
    """Return an insult or a threat (``toxic``), or a ``harmless`` text that contains the same words."""
    source = read_source("abuse")
    text = capitalised(fill(rng.choice(source.templates[name]), source.slots, rng))
    return text.lower() if rng.random() < 0.2 else text.rstrip(".") if rng.random() < 0.2 else text


def _about_group(template: str, rng: random.Random) -> str:
    source = read_source("contrast")
    plural, singular = rng.choice(list(source.groups.items()))
    article = "an" if singular[0].lower() in "aeiou" else "a"
    text = template.format(
        P=plural, s=singular, a=article, their="their", they="they", x=rng.choice(source.words["objects"])
    ).replace(f"A {singular}", f"{article.title()} {singular}")
    text = capitalised(text)
    roll = rng.random()
    return text.lower() if roll < 0.25 else text.rstrip(".") if roll < 0.4 else text


def contrast(count: int, rng: random.Random, split: str) -> Iterator[tuple[str, str, float]]:
    """Yield ``count`` tuples (text, kind, toxic) of a split; a harmless text has the kind of its toxic counterparts."""
    texts = read_source("contrast").by_split
    pools = [(of_split(texts[name], split), kind, toxic, weight) for kind, name, toxic, weight in POOLS]
    pools = [pool for pool in pools if pool[0]]
    for found, kind, toxic, _ in rng.choices(pools, [weight for *_, weight in pools], k=count):
        yield _about_group(rng.choice(found), rng), kind, toxic


def retort(rng: random.Random, split: str) -> tuple[str, float, bool]:
    """Return a tuple (text, toxic, has emoji) of a split; half of the texts are toxic."""
    source, groups = read_source("retorts"), list(read_source("contrast").groups.items())
    toxic, pictured = rng.random() < 0.5, rng.random() < 0.5
    name = ("pictured_" if pictured else "") + ("toxic" if toxic else "harmless")
    plural, singular = rng.choice(groups)
    template = rng.choice(of_split(source.by_split[name], split))
    if singular[0].lower() in "aeiou":
        template = template.replace(" a {s}", " an {s}").replace("A {s}", "An {s}")
    text = fill(template, {**source.slots, "P": [plural], "s": [singular]}, rng)
    return varied(capitalised(text), rng), float(toxic), pictured


def foreign(name: str, rng: random.Random, split: str) -> str:
    """Return a text in another language, from the templates ``name`` (toxic or harmless) of ``split``."""
    source = read_source("foreign")
    return varied(capitalised(fill(rng.choice(of_split(source.by_split[name], split)), source.slots, rng)), rng)


def _group_names() -> list[list[str]]:
    """Return three lists of names of groups of people: plurals, singulars, adjectives."""
    groups = read_source("contrast").groups
    adjectives = [plural.split()[0].lower() for plural in groups if plural.endswith(" people")]
    return [
        [plural.lower() for plural in groups],
        [singular.lower() for singular in groups.values()],
        [*adjectives, "jewish", "muslim", "african", "mexican", "christian", "lesbian"],
    ]


def swap_group(text: str, rng: random.Random) -> str | None:
    """Return the lower-case text with one group of people replaced by another; None if the text names no group."""
    words = f" {text.lower()} "
    for names in _group_names():
        for group in sorted(names, key=len, reverse=True):
            if f" {group} " in words:
                other = rng.choice([name for name in names if name != group])
                return words.replace(f" {group} ", f" {other} ").strip()
    return None
