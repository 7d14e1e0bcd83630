"""Evaluation of detectors: score every text, then compute the metrics and the cost of each detector."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from detectors.base import Score, TextDetector
from detectors.evaluate.cost import cost
from detectors.evaluate.labelled import Input, LabelledSet, OrdinaryPrompts
from detectors.evaluate.progress import Progress
from detectors.evaluate.scoring import inputs_of, score_all
from detectors.evaluate.set_metrics import false_positive_rates, set_metrics
from detectors.evaluate.span_metrics import Row

#: Number of texts to measure the cost: enough for a stable result, and few enough for the slowest detector.
COST_TEXTS = 200


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Scores and labels of one labelled set for the plots, in the order of the set."""

    name: str
    labels: Sequence[bool]
    scores: Sequence[float]
    flagged: Sequence[bool]


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of one detector, in the form of the JSON report, and the data for the detector's plots."""

    detector: str
    version: str
    row: Row
    curves: Sequence[Curves]


def evaluate(
    detectors: Sequence[TextDetector[Any]],
    sets: Sequence[LabelledSet],
    ordinary: OrdinaryPrompts,
    progress: Progress,
) -> list[Evaluated]:
    """Score each text once and return the metrics of each detector; ``detectors`` must be loaded.

    A detector that compares an answer with its prompt cannot flag a text alone, so it does not score the ordinary prompts.
    """
    alone = [detector.name for detector in detectors if not detector.prompt_characters]
    scores = score_all(detectors, inputs_of(alone, sets, ordinary), progress)
    return [
        _evaluated(
            detector,
            [one for one in sets if one.detector == detector.name],
            ordinary if detector.name in alone else {},
            scores[detector.name],
        )
        for detector in detectors
    ]


def _evaluated(
    detector: TextDetector[Any],
    sets: Sequence[LabelledSet],
    ordinary: OrdinaryPrompts,
    scores: Mapping[Input, Score],
) -> Evaluated:
    row = {
        "detector": detector.name,
        "version": detector.version,
        "config": msgspec.to_builtins(detector.config),
        # In the options, 0 selects the threshold of the detector; `tools` has none.
        "threshold": getattr(detector.config, "threshold", None) or getattr(detector, "threshold", None),
        "sets": [set_metrics(one, scores) for one in sets],
        "ordinary": false_positive_rates(ordinary, scores),
    }
    curves = [_curves(one, scores) for one in sets if all(case.label is not None for case in one.cases)]
    return Evaluated(detector=detector.name, version=detector.version, row=row, curves=curves)


def _curves(one: LabelledSet, scores: Mapping[Input, Score]) -> Curves:
    found = [scores[case.input] for case in one.cases]
    return Curves(
        name=one.name,
        labels=[bool(case.label) for case in one.cases],
        scores=[score.score for score in found],
        flagged=[score.flagged for score in found],
    )


def measure_cost(
    detector: TextDetector[Any], sets: Sequence[LabelledSet], ordinary: OrdinaryPrompts
) -> dict[str, float]:
    """Return the `cost` of at most 200 texts, taken in turn from the detector's sets and the sources of ordinary prompts."""
    groups = [[case.input for case in one.cases] for one in sets if one.detector == detector.name]
    groups += [[(text, ()) for text in texts] for texts in ordinary.values() if not detector.prompt_characters]
    mix = list(dict.fromkeys(key for row in zip_longest(*groups) for key in row if key))[:COST_TEXTS]
    return cost(detector.name, msgspec.to_builtins(detector.config), mix) if mix else {}
