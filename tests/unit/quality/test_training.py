"""Thresholds of a trained encoder: they are chosen on the tune split, without the cases for its evaluation."""

from pathlib import Path

from detectors.base import Score
from detectors.evaluate.cases.synthetic import refusal_cases, synthetic_sets
from detectors.evaluate.datasets import Datasets
from detectors.evaluate.labelled import Case, LabelledSet
from detectors.evaluate.progress import no_progress
from weir.quality import training
from weir.quality.training import TrainingOptions


class Longest:
    """A detector that scores a text by its length."""

    name = "refusal"

    def score_answers(self, texts, _):
        return [Score(score=min(1.0, len(text) / 10), label="ok", flagged=False) for text in texts]


def test_thresholds_are_not_chosen_on_the_cases_for_the_evaluation(monkeypatch):
    tuned = [Case(text="short", label=False), Case(text="long enough", label=True)]
    names = ("all of the tune split", "written_refusal")
    sets = [LabelledSet(detector="refusal", name=name, cases=tuned) for name in names] + synthetic_sets("refusal")
    assert any(case.text == sets[-1].cases[0].text for case in refusal_cases())
    monkeypatch.setattr(
        training, "load_datasets", lambda *_, **__: Datasets(sets=sets, ordinary={}, files=[], absent=[])
    )
    monkeypatch.setattr(training, "load_detectors", lambda *_: [Longest()])
    used = []
    monkeypatch.setattr(training, "choose", lambda sources: used.extend(sources) or 0.5)
    options = TrainingOptions(name="refusal", data=Path(), out=Path())
    assert training._thresholds(options, {"refusal": {}}, no_progress) == {"refusal": 0.5}
    assert used == ["written_refusal"]
