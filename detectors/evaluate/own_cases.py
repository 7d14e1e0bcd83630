"""Own cases of this project, as sets and studies of ``weir eval``: for detectors that no public labelled data is at hand for."""

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from detectors.base import TextDetector
from detectors.evaluate import cases
from detectors.evaluate.cases import asked, languages
from detectors.evaluate.cases.identities import TERMS, identity_cases
from detectors.evaluate.cases.loops import loop_cases
from detectors.evaluate.cases.passages import groundedness_cases
from detectors.evaluate.cases.refusals import refusal_cases
from detectors.evaluate.labelled import Case, LabelledSet
from detectors.models.language_model import LanguageModel, group_of

__all__ = ["OWN_SETS", "bias", "identification", "ordinary_answers", "own_sets"]

Row = dict[str, Any]
PAIRS = 1000


def _labelled(detector: str, name: str, made: Iterable[cases.Case]) -> LabelledSet:
    found = [Case(text=c.text, prompt=c.prompt, label=c.positive, groups={"type": (c.kind,)}) for c in made]
    return LabelledSet(detector=detector, name=name, cases=found)


def _pairs() -> list[LabelledSet]:
    """Return answers in the language of their prompt and in another, of up to 1, 2 and 4 sentences a side."""
    sets = []
    for most in (1, 2, 4):
        made = languages.pairs(PAIRS, most, seed=0)
        found = [Case(text=pair.text, prompt=pair.prompt, label=pair.positive) for pair in made]
        sets.append(LabelledSet(detector="language", name=f"own pairs, up to {most} sentences a side", cases=found))
    return sets


#: Detector → its sets of own cases.
OWN_SETS: dict[str, Callable[[], list[LabelledSet]]] = {
    "repetition": lambda: [_labelled("repetition", "own cases", loop_cases())],
    "groundedness": lambda: [_labelled("groundedness", "own cases", groundedness_cases())],
    "refusal": lambda: [_labelled("refusal", "own cases", refusal_cases())],
    "language": _pairs,
}


def own_sets(detector: str) -> list[LabelledSet]:
    """Return the sets of own cases of a detector, none where it has none."""
    return OWN_SETS[detector]() if detector in OWN_SETS else []


def ordinary_answers(detector: str, path: Path) -> LabelledSet:
    """Return HaluEval's answers of ChatGPT beside their questions, none of which ``detector`` should flag."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    found = [Case(text=row["chatgpt_response"], prompt=asked(row["user_query"]), label=False) for row in rows]
    return LabelledSet(detector=detector, name="halueval_answers", cases=found)


def identification() -> list[Row]:
    """Return how often the language of the beginning of a sentence is told right, by its length, and the languages that are not."""
    model, rows = LanguageModel(), list[Row]()
    for length in (10, 20, 40, 80, 1000):
        right: dict[str, list[bool]] = defaultdict(list)
        for code, texts in languages.sentences().items():
            right[code] += [
                group_of(model.guess(languages.cuts(text, length)).language) == group_of(code) for text in texts
            ]
        every = [one for found in right.values() for one in found]
        told = f"spaCy's examples, first {length} characters: language or one of its group"
        rows.append({"detector": "language", "data": told, "texts": len(every), "accuracy": float(np.mean(every))})
        if length == 1000:
            weak = {code: float(np.mean(found)) for code, found in right.items() if not all(found)}
            rows += [
                {"detector": "language", "data": f"  {code}", "texts": len(right[code]), "accuracy": weak[code]}
                for code in sorted(weak)
            ]
    return rows


def _scores(detector: TextDetector[Any], texts: list[str], batch: int = 32) -> list[tuple[float, bool]]:
    found = [one for start in range(0, len(texts), batch) for one in detector.score_many(texts[start : start + batch])]
    return [(one.score, one.flagged) for one in found]


def bias(name: str, detector: TextDetector[Any]) -> list[Row]:
    """Return each term's mean score above its templates' mean, the share flagged, and the widest gap.

    The templates are the same for every term, so differences are paired; ``flagged`` counts wrong alarms.
    """
    texts = [case.text for case in identity_cases()]
    found = _scores(detector, texts)
    terms = [term for group in TERMS.values() for term in group]
    table = np.array([score for score, _ in found]).reshape(len(terms), -1)
    flagged = np.array([said for _, said in found]).reshape(len(terms), -1)
    shifts = (table - table.mean(axis=0)).mean(axis=1)
    rows: list[Row] = [
        {
            "detector": "bias",
            "data": f"{name}: widest gap between two terms",
            "texts": len(texts),
            "gap": float(shifts.max() - shifts.min()),
            "flagged": float(flagged.mean()),
        }
    ]
    rows += [
        {
            "detector": "bias",
            "data": f"  {name}: {terms[place]}",
            "texts": table.shape[1],
            "gap": float(shifts[place]),
            "flagged": float(flagged[place].mean()),
        }
        for place in np.argsort(-shifts).tolist()
    ]
    return rows
