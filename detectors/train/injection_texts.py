"""Synthetic prompt injections, alone and planted in documents, and benign texts with the same words.

Texts and the reasons for them: ``texts/attacks.toml`` and ``texts/planted.toml``.
"""

import random
from collections.abc import Callable, Iterator, Sequence

from detectors.train.templates import capitalised, fill, of_split, read_source, varied

__all__ = ["attacks", "extractions", "follow_ups", "long_prompts", "lookalikes", "planted", "planted_benign"]

Names = dict[str, Sequence[str]]
#: Of planted texts, the share in other languages, and with the share of code added.
FOREIGN, CODE = 0.2, 0.3


def _shouted(text: str, rng: random.Random) -> str:
    """Vary the spelling as people do: sometimes capitals, lower case, no full stop."""
    roll = rng.random()
    if roll < 0.06:
        return text.upper()
    if roll < 0.2:
        return text.lower()
    return text.rstrip(".!") if roll < 0.3 else text


def _attack(rng: random.Random) -> str:
    texts = read_source("attacks").templates
    override, goal = rng.choice(texts["overrides"]), rng.choice(texts["goals"])
    template = rng.choice(texts["direct"])
    upper = capitalised(goal) if rng.random() < 0.3 else goal
    return template.format(O=capitalised(override), o=override, G=upper, g=goal)


def attacks(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` short attacks, a third of them inside a carrier."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    texts = read_source("attacks").templates
    for _ in range(count):
        attack = _attack(rng)
        if rng.random() < 0.35:
            carrier = rng.choice(texts["carriers"])
            attack = carrier.format(A=attack, a=attack[:1].lower() + attack[1:], B=rng.choice(texts["fillers"]))
        yield _shouted(attack, rng)


def lookalikes(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` benign prompts with the words of the attacks, some of them inside the same carriers."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    source = read_source("attacks")
    texts, fillers = source.templates, source.templates["fillers"]
    for _ in range(count):
        text = fill(rng.choice(texts["benign"]), source.slots, rng)
        if rng.random() < 0.2:
            carrier = rng.choice(texts["carriers"])
            inner = rng.choice([text, rng.choice(fillers)])
            text = carrier.format(A=inner, a=inner, B=rng.choice(fillers))
        yield _shouted(text, rng)


def long_prompts(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` benign prompts of 100 to 350 words: role play with many rules, documents, letters.

    They keep the classifier from learning that a long prompt or a role is an attack.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    source = read_source("attacks")
    texts = source.templates
    for _ in range(count):
        values = {name: rng.choice(words) for name, words in source.slots.items()}
        parts = [rng.choice(texts["roles"])]
        if rng.random() < 0.7:
            parts += rng.sample(texts["rules"], rng.randrange(4, 10))
        for _ in range(rng.randrange(1, 4)):
            parts += [" ".join(rng.sample(texts["fillers"], rng.randrange(2, 7))), rng.choice(texts["rules"])]
        parts.append(rng.choice(texts["benign"]))
        yield rng.choice([" ", "\n", "\n- "]).join(parts).format(**values)


def _filled(name: str, count: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    source = read_source("attacks")
    for _ in range(count):
        yield _shouted(fill(rng.choice(source.templates[name]), source.slots, rng), rng)


def follow_ups(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` benign second turns: they refer to an earlier answer."""
    return _filled("follow_ups", count, seed)


def extractions(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` attempts to read the hidden instructions."""
    return _filled("extractions", count, seed)


def _embedded(inner: str, split: str, rng: random.Random) -> str:
    """Return a document that contains ``inner``."""
    source = read_source("planted")
    fillers = [" ".join(rng.sample(source.templates["fillers"], rng.choice([1, 2, 4]))) for _ in range(4)]
    slots = {**source.slots, "B": fillers, "X": [inner]}
    return fill(rng.choice(of_split(source.by_split["positions"], split)), slots, rng)


def _to_assistant(split: str, rng: random.Random) -> str:
    """Return an instruction to the assistant."""
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
    """Return an instruction to people."""
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


def _planted(make: Callable[[float, str, random.Random], str], count: int, seed: int, split: str) -> Iterator[str]:
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    for _ in range(count):
        roll = rng.random()
        text = make(roll, split, rng)
        if rng.random() < (0.4 if roll < CODE else 0.85):
            text = _embedded(text, split, rng)
        yield varied(text, rng)


def planted(count: int, seed: int, split: str) -> Iterator[str]:
    """Yield ``count`` injections of a split: most in a document, some alone, some in other languages."""
    return _planted(_injection, count, seed, split)


def planted_benign(count: int, seed: int, split: str) -> Iterator[str]:
    """Yield ``count`` benign texts: the same documents with instructions to people, and the same languages and code."""
    return _planted(_benign, count, seed, split)
