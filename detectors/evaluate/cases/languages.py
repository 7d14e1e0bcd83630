"""Sentences in 50 languages, from the ``examples`` modules of spaCy (MIT), which every installation of Weir has.

Each language has 1 to 29 sentences of everyday and news text by its speakers or translators. Left out are the languages that
the model was not made for (Ancient Greek, Luganda, Ligurian, Tigrinya, Tswana) and ``xx``, which repeats others.
"""

import ast
import importlib.util
import random
from collections.abc import Iterator
from pathlib import Path

from detectors.evaluate.cases import Case, asked
from detectors.models.language_model import group_of

__all__ = ["cuts", "pairs", "sentences"]

_UNKNOWN = frozenset({"grc", "lg", "lij", "ti", "tn", "xx"})
_CODES = {"kmr": "ku"}


def sentences() -> dict[str, list[str]]:
    """Return the sentences of each language, by its code; the modules are read, not imported: spaCy's languages take a minute."""
    spec = importlib.util.find_spec("spacy")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    found: dict[str, list[str]] = {}
    for path in sorted((Path(spec.submodule_search_locations[0]) / "lang").glob("*/examples.py")):
        code = path.parent.name
        if code not in _UNKNOWN:
            listed = _listed(ast.parse(path.read_text(encoding="utf-8")))
            found[_CODES.get(code, code)] = [text.replace("\n", " ").strip() for text in listed]
    return found


def _listed(module: ast.Module) -> list[str]:
    """Return the value of ``sentences = […]``."""
    for node in module.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "sentences":
            value: list[str] = ast.literal_eval(node.value)
            return value
    return []


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
