"""Sentences in 50 languages, from the ``examples`` modules of spaCy (MIT), which every installation of Weir has.

Each language has 1 to 29 sentences of everyday and news text by its speakers or translators. Left out are the languages that
the model was not made for (Ancient Greek, Luganda, Ligurian, Tigrinya, Tswana) and ``xx``, which repeats others.
"""

import importlib
import pkgutil
import random
from collections.abc import Iterator

from detectors.evaluate.cases import Case, asked
from detectors.languages import group_of

__all__ = ["cuts", "pairs", "sentences"]

_UNKNOWN = frozenset({"grc", "lg", "lij", "ti", "tn", "xx"})
_CODES = {"kmr": "ku"}


def sentences() -> dict[str, list[str]]:
    """Return the sentences of each language, by its code."""
    import spacy.lang  # noqa: PLC0415 - a second, and only evaluation needs it

    found: dict[str, list[str]] = {}
    for module in pkgutil.iter_modules(spacy.lang.__path__):
        if module.name in _UNKNOWN:
            continue
        try:
            examples = importlib.import_module(f"spacy.lang.{module.name}.examples")
        except ModuleNotFoundError:
            continue
        found[_CODES.get(module.name, module.name)] = [text.replace("\n", " ").strip() for text in examples.sentences]
    return found


def cuts(text: str, length: int) -> str:
    """Return the beginning of a text, at most so many characters, up to the end of a word where there are spaces."""
    if len(text) <= length:
        return text
    cut = text[: length + 1].rpartition(" ")[0]
    return cut if len(cut) * 2 > length else text[:length]


def pairs(count: int, most: int, seed: int) -> Iterator[Case]:
    """Yield answers to prompts, one in another group of languages beside each in the same; each of 1 to ``most`` sentences.

    Both sides of a pair are of different sentences, so languages with fewer than two are only ever the prompt's.
    """
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample
    texts = sentences()
    able = sorted(code for code, found in texts.items() if len(found) >= 2)
    for _ in range(count):
        code = rng.choice(able)
        chosen = rng.sample(texts[code], min(len(texts[code]), 2 * most))
        half = len(chosen) // 2
        prompt = asked(" ".join(chosen[:half]))
        other = rng.choice([one for one in able if group_of(one) != group_of(code)])
        mine, theirs = chosen[half:], rng.sample(texts[other], min(len(texts[other]), most))
        yield Case(text=" ".join(mine), positive=False, kind=f"{code} to {code}", prompt=prompt)
        yield Case(text=" ".join(theirs), positive=True, kind=f"{code} to {other}", prompt=prompt)
