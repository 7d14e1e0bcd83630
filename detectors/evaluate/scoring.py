"""Scoring of all texts of an evaluation: each text once per detector, in batches that the detectors share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectors.base import Score, TextDetector
from detectors.evaluate.labelled import Input, LabelledSet, OrdinaryPrompts
from detectors.evaluate.progress import Progress
from detectors.registry import create_text

Scores = Mapping[str, Mapping[Input, Score]]
BATCH = 64


def load_text(name: str, **config: object) -> TextDetector[Any]:
    """Return a text detector with its weights loaded."""
    detector = create_text(name, config)
    detector.load()
    return detector


def score_texts(detector: TextDetector[Any], texts: Sequence[str]) -> list[Score]:
    """Score texts in batches of 32."""
    return [score for at in range(0, len(texts), 32) for score in detector.score_many(texts[at : at + 32])]


def inputs_of(names: Sequence[str], sets: Iterable[LabelledSet], ordinary: OrdinaryPrompts) -> dict[Input, list[str]]:
    """Return the names of the detectors that must score each input; ``names`` score the ordinary prompts."""
    wanted: dict[Input, dict[str, None]] = {}
    for one in sets:
        for case in one.cases:
            wanted.setdefault(case.input, {})[one.detector] = None
    for texts in ordinary.values():
        for text in texts:
            wanted.setdefault((text, ()), {}).update(dict.fromkeys(names))
    return {key: list(detectors) for key, detectors in wanted.items()}


def score_all(
    detectors: Sequence[TextDetector[Any]], inputs: Mapping[Input, Sequence[str]], progress: Progress
) -> Scores:
    """Return detector name → input → score; ``detectors`` must be loaded, ``inputs`` is a result of `inputs_of`."""
    scores: dict[str, dict[Input, Score]] = {detector.name: {} for detector in detectors}
    # Texts of similar length share a batch, because a batch is padded to its longest text.
    order = sorted(inputs, key=lambda key: len(key[0]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        for detector in detectors:
            mine = [key for key in batch if detector.name in inputs[key]]
            found = detector.score_answers([text for text, _ in mine], [prompt for _, prompt in mine])
            scores[detector.name].update(zip(mine, found, strict=True))
        progress("scoring texts", start + len(batch), len(order))
    return scores
