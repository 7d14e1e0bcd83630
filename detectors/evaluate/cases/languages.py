"""Sentences in about 60 languages from the ``examples`` modules of spaCy (MIT), which is installed with Weir.

Each language has 1 to 29 sentences of everyday and news text, written by speakers of the language or translators.
"""

import ast
import random
from collections.abc import Iterator

from detectors.evaluate.cases import with_question
from detectors.evaluate.labelled import Case
from detectors.models.language_model import group_of
from detectors.models.weight_files import package_folder

#: Languages that the model does not support (Ancient Greek, Luganda, Ligurian, Tigrinya, Tswana), and ``xx``, whose
#: sentences are copies.
_LEFT_OUT = frozenset({"grc", "lg", "lij", "ti", "tn", "xx"})
_CODES = {"kmr": "ku"}


def sentences() -> dict[str, list[str]]:
    """Return the sentences of each language; spaCy's modules are parsed, because importing takes a minute."""
    spacy = package_folder("spacy", "spaCy is not installed: pip install presidio-analyzer")
    found: dict[str, list[str]] = {}
    for path in sorted(spacy.glob("lang/*/examples.py")):
        code = path.parent.name
        if code not in _LEFT_OUT:
            listed = _listed(ast.parse(path.read_text(encoding="utf-8")))
            found[_CODES.get(code, code)] = [text.replace("\n", " ").strip() for text in listed]
    return found


def _listed(module: ast.Module) -> list[str]:
    for node in module.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "sentences":
            value: list[str] = ast.literal_eval(node.value)
            return value
    return []


def shortened(text: str, length: int) -> str:
    """Cut a text to at most ``length`` characters, after a whole word if this keeps more than half of ``length``."""
    if len(text) <= length:
        return text
    cut = text[: length + 1].rpartition(" ")[0]
    return cut if len(cut) * 2 > length else text[:length]


def pairs(count: int, most: int) -> Iterator[Case]:
    """Yield two answers to each of ``count`` prompts: one in the prompt's language, one in another (label True).

    Each text has 1 to ``most`` sentences. Prompt and answer have different sentences, so languages with a single
    sentence are omitted.
    """
    rng = random.Random(0)
    texts = sentences()
    able = sorted(code for code, found in texts.items() if len(found) >= 2)
    for _ in range(count):
        code = rng.choice(able)
        chosen = rng.sample(texts[code], min(len(texts[code]), 2 * most))
        half = len(chosen) // 2
        prompt = with_question(" ".join(chosen[:half]))
        other = rng.choice([candidate for candidate in able if group_of(candidate) != group_of(code)])
        foreign = rng.sample(texts[other], min(len(texts[other]), most))
        for answer, language in ((chosen[half:], code), (foreign, other)):
            kind = f"{code} to {language}"
            yield Case(text=" ".join(answer), prompt=prompt, label=language != code, groups={"type": (kind,)})
