"""Synthetic refusals, and answers that help although they contain the same words (sorry, cannot, unable).

Texts and the reasons for them: ``texts/refusals.toml`` and ``texts/declining.toml``. No public labelled set of refusals
is in the data, so the detector is experimental; weak labels of HaluEval's answers are in `detectors.evaluate.readers`.
"""

import random
from collections.abc import Iterator, Mapping, Sequence

from detectors.train.templates import capitalised, fill, of_split, read_source, varied

__all__ = ["complies", "declining", "helping", "refusals"]


def _gerund(task: str) -> str:
    verb, _, rest = task.partition(" ")
    return f"{verb.removesuffix('e')}ing {rest}"


def refusals(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` refusals of one shape: an apology and a "cannot"."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    source = read_source("refusals")
    texts = source.templates
    for _ in range(count):
        task = rng.choice(source.words["tasks"])
        opening = rng.choice(texts["openings"]) if rng.random() < 0.75 else ""
        core = rng.choice(texts["cannot"]).format(do=task, doing=_gerund(task))
        text = capitalised(opening + core + rng.choice(texts["endings"]))
        yield text if rng.random() < 0.85 else text.replace("'", "\u2019")


def complies(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` answers that help, with the words of `refusals`."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    source = read_source("refusals")
    texts, words = source.templates, source.words
    for _ in range(count):
        first, second = rng.choice(texts["good"]), rng.choice(texts["good"])
        text = rng.choice(texts["complies"]).format(
            good=f"{first}.",
            Good=f"{capitalised(second)}.",
            noun=rng.choice(words["nouns"]),
            do=rng.choice(words["tasks"]),
        )
        yield capitalised(text)


def _body(rng: random.Random, core: str, slots: Mapping[str, Sequence[str]]) -> str:
    """Return a refusal in context: alone, after other sentences, before a reason or an offer."""
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


def declining(count: int, seed: int, split: str) -> Iterator[str]:
    """Yield ``count`` refusals of many styles, worded by the templates of ``split``."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    source = read_source("declining")
    templates = of_split(source.by_split["declines"], split)
    for _ in range(count):
        request = rng.choice(source.requests)
        slots = {"do": [request.do], "doing": [request.doing], "thing": [request.thing]}
        yield varied(capitalised(_body(rng, fill(rng.choice(templates), slots, rng), slots)), rng)


def helping(count: int, seed: int, split: str) -> Iterator[str]:
    """Yield ``count`` answers that help, worded by the templates of ``split``."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    source = read_source("declining")
    good = [f"{item}." for item in source.templates["good"]]
    slots = {"good": good, "noun": source.words["nouns"], "ask": source.words["asks"]}
    templates = of_split(source.by_split["helps"], split)
    for _ in range(count):
        text = fill(rng.choice(templates), slots, rng)
        more = " ".join(capitalised(sentence) for sentence in rng.sample(good, rng.choice([0, 0, 1, 3])))
        yield varied(capitalised(f"{text} {more}".strip()), rng)
