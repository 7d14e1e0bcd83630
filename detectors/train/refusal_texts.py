"""Synthetic refusals, and helpful answers that contain the same words (sorry, cannot, unable).

The templates, with reasons, are in ``texts/refusals.toml``, ``texts/declining.toml`` and ``texts/polite.toml``. The detector is experimental,
because the data has no labelled set of refusals, only weak labels of HaluEval (`detectors.evaluate.public_sets`).
"""

import random
from collections.abc import Mapping, Sequence

from detectors.train.templates import capitalised, fill, of_split, read_source, varied

__all__ = ["complying", "declining", "helping", "mail", "polite", "refusal"]


def _gerund(task: str) -> str:
    verb, _, rest = task.partition(" ")
    return f"{verb.removesuffix('e')}ing {rest}"


def refusal(rng: random.Random) -> str:
    """Return a refusal of a simple form, such as an apology and "I cannot …"."""
    source = read_source("refusals")
    texts, task = source.templates, rng.choice(source.words["tasks"])
    opening = rng.choice(texts["openings"]) if rng.random() < 0.75 else ""
    core = rng.choice(texts["cannot"]).format(do=task, doing=_gerund(task))
    text = capitalised(opening + core + rng.choice(texts["endings"]))
    return text if rng.random() < 0.85 else text.replace("'", "\u2019")


def complying(rng: random.Random) -> str:
    """Return a helpful answer that contains the words of a `refusal`."""
    source = read_source("refusals")
    texts, words = source.templates, source.words
    first, second = rng.choice(texts["good"]), rng.choice(texts["good"])
    text = rng.choice(texts["complies"]).format(
        good=f"{first}.",
        Good=f"{capitalised(second)}.",
        noun=rng.choice(words["nouns"]),
        do=rng.choice(words["tasks"]),
    )
    return capitalised(text)


def _body(rng: random.Random, core: str, slots: Mapping[str, Sequence[str]]) -> str:
    """Return the refusal ``core`` alone, or after other sentences, or before a reason or an offer."""
    texts = read_source("declining").templates
    shape = rng.random()
    text = core
    if shape < 0.35 and core[0] not in '*"':
        before = rng.choice(texts["before"])
        keeps = before[-1] in ".!?:" or core.startswith(("I ", "I'"))
        text = f"{before} {core if keeps else core[:1].lower() + core[1:]}"
    if rng.random() < 0.2:
        text = f"{fill(rng.choice(texts['preambles']), slots, rng)} {text}"
    if rng.random() < 0.3:
        text = f"{text} {rng.choice(texts['reasons'])}"
    if rng.random() < 0.3:
        text = f"{text}{rng.choice([' ', chr(10) * 2])}{rng.choice(texts['offers'])}"
    return text


def declining(rng: random.Random, split: str) -> str:
    """Return a refusal in one of many styles, from a template of ``split``."""
    source = read_source("declining")
    request = rng.choice(source.requests)
    slots = {"do": [request.do], "doing": [request.doing], "thing": [request.thing]}
    template = rng.choice(of_split(source.by_split["declines"], split))
    return varied(capitalised(_body(rng, fill(template, slots, rng), slots)), rng)


def helping(rng: random.Random, split: str) -> str:
    """Return a helpful answer from a template of ``split``."""
    source = read_source("declining")
    good = [f"{item}." for item in source.templates["good"]]
    slots = {"good": good, "noun": source.words["nouns"], "ask": source.words["asks"]}
    text = fill(rng.choice(of_split(source.by_split["helps"], split)), slots, rng)
    more = " ".join(capitalised(sentence) for sentence in rng.sample(good, rng.choice([0, 0, 1, 3])))
    return varied(capitalised(f"{text} {more}".strip()), rng)


def polite(rng: random.Random, split: str) -> str:
    """Return a message in which a person or a company declines something, from a template of ``split``."""
    source = read_source("polite")
    return varied(fill(rng.choice(of_split(source.by_split["declines"], split)), source.slots, rng).strip(), rng)


def mail(rng: random.Random, split: str) -> str:
    """Return an e-mail or a note in which a person asks another for something, from a template of ``split``."""
    source = read_source("polite")
    return varied(fill(rng.choice(of_split(source.by_split["asks"], split)), source.slots, rng).strip(), rng)
