"""The whole of an evaluation: detectors loaded, every text scored, figures a detector."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from detectors.base import Score, TextDetector
from detectors.evaluate.cost import cost
from detectors.evaluate.labelled import Asked, LabelledSet, Ordinary
from detectors.evaluate.progress import Progress
from detectors.evaluate.scoring import score_all, texts_of
from detectors.evaluate.set_metrics import Row, false_alarms, figures

__all__ = ["Curves", "Evaluated", "evaluate", "measure_cost"]

#: Texts whose cost is measured: enough for a steady figure, few enough for the slowest detector.
COST_TEXTS = 200


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """What a plot needs of one labelled set: scores and labels, text by text, in the order of the set."""

    name: str
    labels: Sequence[bool]
    scores: Sequence[float]
    flagged: Sequence[bool]


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """One detector's figures, as JSON holds them, and the curves for the plots."""

    detector: str
    version: str
    row: Row
    curves: Sequence[Curves]


def evaluate(
    detectors: Sequence[TextDetector[Any]],
    sets: Sequence[LabelledSet],
    ordinary: Sequence[Ordinary],
    progress: Progress,
) -> list[Evaluated]:
    """Score each text once and return the figures of each detector. ``detectors`` are loaded."""
    names = [detector.name for detector in detectors]
    scores = score_all(detectors, texts_of(names, sets, ordinary), progress)
    return [
        _evaluated(detector, [one for one in sets if one.detector == detector.name], ordinary, scores[detector.name])
        for detector in detectors
    ]


def _evaluated(
    detector: TextDetector[Any],
    sets: Sequence[LabelledSet],
    ordinary: Sequence[Ordinary],
    scores: Mapping[Asked, Score],
) -> Evaluated:
    row = {
        "detector": detector.name,
        "version": detector.version,
        "config": msgspec.to_builtins(detector.config),
        "sets": [figures(one, scores) for one in sets],
        "ordinary": false_alarms(ordinary, scores),
    }
    curves = [_curves(one, scores) for one in sets if all(case.label is not None for case in one.cases)]
    return Evaluated(detector=detector.name, version=detector.version, row=row, curves=curves)


def _curves(one: LabelledSet, scores: Mapping[Asked, Score]) -> Curves:
    found = [scores[case.asked] for case in one.cases]
    return Curves(
        name=one.name,
        labels=[bool(case.label) for case in one.cases],
        scores=[score.score for score in found],
        flagged=[score.flagged for score in found],
    )


def measure_cost(
    detector: TextDetector[Any], sets: Sequence[LabelledSet], ordinary: Sequence[Ordinary]
) -> dict[str, float]:
    """Return `cost` over a mix: as many texts of each of the detector's sets, and of each source of ordinary prompts, 200 in all."""
    groups = [[case.asked for case in one.cases] for one in sets if one.detector == detector.name]
    groups += [[(text, ()) for text in one.texts] for one in ordinary]
    mix = list(dict.fromkeys(asked for row in zip_longest(*groups) for asked in row if asked))[:COST_TEXTS]
    return cost(detector.name, msgspec.to_builtins(detector.config), mix) if mix else {}
