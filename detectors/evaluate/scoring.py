"""Scores every text once: detectors that share an encoder share its passes, and a text that is in two sets is read once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectors.base import Score, TextDetector
from detectors.evaluate.labelled import Asked, LabelledSet, Ordinary
from detectors.evaluate.progress import Progress

__all__ = ["Scores", "score_all", "texts_of"]

Scores = Mapping[str, Mapping[Asked, Score]]
BATCH = 64


def texts_of(names: Sequence[str], sets: Iterable[LabelledSet], ordinary: Iterable[Ordinary]) -> dict[Asked, list[str]]:
    """Return each text (with what it answers) and the detectors that it is for; ordinary prompts are for all of ``names``."""
    wanted: dict[Asked, dict[str, None]] = {}
    for one in sets:
        for case in one.cases:
            wanted.setdefault(case.asked, {})[one.detector] = None
    for source in ordinary:
        for text in source.texts:
            wanted.setdefault((text, ()), {}).update(dict.fromkeys(names))
    return {asked: list(detectors) for asked, detectors in wanted.items()}


def score_all(
    detectors: Sequence[TextDetector[Any]], texts: Mapping[Asked, Sequence[str]], progress: Progress
) -> Scores:
    """Return detector name → text → score. ``detectors`` are loaded; ``texts`` is what `texts_of` returned."""
    scores: dict[str, dict[Asked, Score]] = {detector.name: {} for detector in detectors}
    # Neighbours of like length: a batch is padded to its longest.
    order = sorted(texts, key=lambda asked: len(asked[0]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        for detector in detectors:
            mine = [asked for asked in batch if detector.name in texts[asked]]
            found = detector.score_answers([text for text, _ in mine], [prompt for _, prompt in mine])
            scores[detector.name].update(zip(mine, found, strict=True))
        progress("scoring texts", start + len(batch), len(order))
    return scores
