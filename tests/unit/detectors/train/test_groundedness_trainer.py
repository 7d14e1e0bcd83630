"""The fit of groundedness on synthetic features, and the report beside the shipped weights."""

import json

import msgspec
import numpy as np

from detectors.models.weight_files import GROUNDEDNESS
from detectors.text.groundedness import GroundednessConfig
from detectors.text.support import FEATURES, SupportModel
from detectors.train import groundedness_trainer as trainer


def answers(families=("ropes", "samsum", "quoref"), count=60):
    rng = np.random.default_rng(0)
    made = []
    for family in families:
        for row in range(count):
            for kind, shift in ((trainer.TRUE, 0.0), ("new name", 2.0)):
                features = rng.normal(size=(1, len(FEATURES)))
                features[:, FEATURES.index("missing_name")] += shift
                made.append(trainer.Answer(family=family, kind=kind, row=row, features=features))
    return made


def test_the_fit_finds_the_feature_that_differs_and_its_file_is_read_back():
    model = trainer._fit(answers())
    assert max(model.weights, key=lambda name: model.weights[name]) == "missing_name"
    assert msgspec.toml.decode(trainer._as_toml(model, 0), type=SupportModel) == model


def test_the_threshold_flags_the_target_share_of_held_out_true_answers():
    made = answers()
    threshold = trainer._threshold(made, 0.1)
    held_out = []
    for family in {answer.family for answer in made}:
        model = trainer._fit([answer for answer in made if answer.family != family])
        held_out += trainer._scores(model, [a for a in made if a.family == family and a.kind == trainer.TRUE]).tolist()
    assert np.mean(np.array(held_out) >= threshold) == 0.1


def test_the_report_is_that_of_the_shipped_weights_and_threshold():
    report = json.loads(GROUNDEDNESS.path.with_suffix(".json").read_text())
    assert report["sha256"] == GROUNDEDNESS.digest
    assert report["threshold"] == GroundednessConfig().threshold
    assert report["held out"]["true"]["flagged"] <= trainer.FALSE_POSITIVES + 0.005, "the threshold is rounded"
