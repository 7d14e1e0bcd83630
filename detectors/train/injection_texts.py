"""Synthetic prompt injections, alone or inside documents, and benign texts with the same words.

The templates, with reasons, are in ``texts/attacks.toml`` and ``texts/planted.toml``.
"""

import random
from collections.abc import Callable, Sequence

from detectors.train.templates import capitalised, fill, of_split, read_source, varied

Names = dict[str, Sequence[str]]
#: Share of planted texts in other languages, and share of texts in other languages or with code.
FOREIGN, CODE = 0.2, 0.3


def _shouted(text: str, rng: random.Random) -> str:
    """Vary the spelling at random: capitals, lower case, or no punctuation at the end."""
    roll = rng.random()
    if roll < 0.06:
        return text.upper()
    if roll < 0.2:
        return text.lower()
    return text.rstrip(".!") if roll < 0.3 else text


def attack(rng: random.Random) -> str:
    """Return a short attack; about a third of the attacks are inside another text (a carrier)."""
    texts = read_source("attacks").templates
    override, goal = rng.choice(texts["overrides"]), rng.choice(texts["goals"])
    template = rng.choice(texts["direct"])
    upper = capitalised(goal) if rng.random() < 0.3 else goal
    text = template.format(O=capitalised(override), o=override, G=upper, g=goal)
    if rng.random() < 0.35:
        carrier = rng.choice(texts["carriers"])
        text = carrier.format(A=text, a=text[:1].lower() + text[1:], B=rng.choice(texts["fillers"]))
    return _shouted(text, rng)


def lookalike(rng: random.Random) -> str:
    """Return a benign prompt that contains words of the attacks, sometimes inside the same carrier texts."""
    source = read_source("attacks")
    texts, fillers = source.templates, source.templates["fillers"]
    text = fill(rng.choice(texts["benign"]), source.slots, rng)
    if rng.random() < 0.2:
        carrier = rng.choice(texts["carriers"])
        inner = rng.choice([text, rng.choice(fillers)])
        text = carrier.format(A=inner, a=inner, B=rng.choice(fillers))
    return _shouted(text, rng)


def _embedded(inner: str, split: str, rng: random.Random) -> str:
    source = read_source("planted")
    fillers = [" ".join(rng.sample(source.templates["fillers"], rng.choice([1, 2, 4]))) for _ in range(4)]
    slots = {**source.slots, "B": fillers, "X": [inner]}
    return fill(rng.choice(of_split(source.by_split["positions"], split)), slots, rng)


def _to_assistant(split: str, rng: random.Random) -> str:
    source = read_source("planted")
    texts, words = source.templates, source.words
    goals: Sequence[str] = of_split(source.by_split["goals"], split)
    voices, names = of_split(source.by_split["voices"], split), Names()
    if split == "train":
        goals = texts["acts"] if rng.random() < 0.3 else [*goals, *texts["more_goals"]]
        voices = [*voices, *texts["more_voices"]]
        names = {"reader": words["readers"], "moment": words["moments"]}
    goal = fill(rng.choice(goals), source.slots, rng)
    return fill(rng.choice(voices), {"g": [goal], **names}, rng)


def _to_people(rng: random.Random) -> str:
    source = read_source("planted")
    texts, words = source.templates, source.words
    act, other = (fill(rng.choice(texts["acts"]), source.slots, rng) for _ in range(2))
    names: Names = {
        "act": [act],
        "url": source.slots["url"],
        "other": [other],
        "when": words["when"],
        "people": words["people"],
        "reader": words["readers"],
        "moment": words["moments"],
    }
    return fill(rng.choice(texts["orders"] + texts["more_orders"]), names, rng)


def _with_code(kind: str, rng: random.Random) -> str:
    source = read_source("planted")
    code = fill(rng.choice(source.templates[kind]), source.slots, rng)
    return fill(rng.choice(source.templates["code"]), {"code": [code]}, rng)


def _injection(roll: float, split: str, rng: random.Random) -> str:
    source = read_source("planted")
    if roll < FOREIGN:
        return fill(rng.choice(of_split(source.by_split["foreign"], split)), source.slots, rng)
    return _with_code("harmful_code", rng) if roll < CODE else _to_assistant(split, rng)


def _benign(roll: float, split: str, rng: random.Random) -> str:
    source = read_source("planted")
    if roll < FOREIGN:
        more = source.templates["more_foreign"] if split == "train" else ()
        return fill(rng.choice([*of_split(source.by_split["foreign_benign"], split), *more]), source.slots, rng)
    if roll < CODE:
        return _with_code("harmless_code", rng)
    if split == "train" and rng.random() < 0.7:
        return " ".join(_to_people(rng) for _ in range(rng.choice([1, 1, 2, 3])))
    lines = rng.sample(of_split(source.by_split["to_people"], split), rng.choice([1, 1, 2]))
    return " ".join(fill(line, source.slots, rng) for line in lines)


def _planted(make: Callable[[float, str, random.Random], str], rng: random.Random, split: str) -> str:
    roll = rng.random()
    text = make(roll, split, rng)
    if rng.random() < (0.4 if roll < CODE else 0.85):
        text = _embedded(text, split, rng)
    return varied(text, rng)


def planted(rng: random.Random, split: str) -> str:
    """Return an injection from the templates of ``split``: mostly in a document, sometimes in another language."""
    return _planted(_injection, rng, split)


def planted_benign(rng: random.Random, split: str) -> str:
    """Return a benign counterpart of `planted`: harmless code, or instructions to people, in the same documents."""
    return _planted(_benign, rng, split)
