"""The study ``languages``: the accuracy of language identification by the number of characters read."""

from collections import defaultdict

import numpy as np

from detectors.evaluate.cases.languages import sentences, shortened
from detectors.evaluate.progress import tracked
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.models.language_model import LanguageModel, group_of

LENGTHS = (10, 20, 40, 80, 1000)


def language_identification(study: StudyContext) -> list[Row]:
    """Return the accuracy at each length, and the accuracy on whole sentences of each language that has errors."""
    model, rows = LanguageModel(), list[Row]()
    right: dict[str, list[bool]] = {}
    for length in tracked(study.progress, "identifying languages", LENGTHS):
        right = defaultdict(list)
        for code, texts in sentences().items():
            guesses = [model.guess(shortened(text, length)).language for text in texts]
            right[code] += [group_of(guess) == group_of(code) for guess in guesses]
        every = [correct for found in right.values() for correct in found]
        data = f"spaCy's examples, first {length} characters: language or one of its group"
        rows.append(_row(data, every))
    return rows + [_row(f"  {code}", found) for code, found in sorted(right.items()) if not all(found)]


def _row(data: str, right: list[bool]) -> Row:
    return {"detector": "language", "data": data, "texts": len(right), "accuracy": float(np.mean(right))}
