"""What a folder of known sets is read for, and that every text is scored once."""

import gzip
import json

import pytest

from detectors.base import Score
from detectors.errors import ConfigError, DataError
from detectors.evaluate.datasets import load_datasets
from detectors.evaluate.labelled import Case, LabelledSet, OrdinaryPrompts
from detectors.evaluate.public_sets import FILES
from detectors.evaluate.scoring import inputs_of, score_all
from detectors.registry import create_text


def test_the_encoder_s_sets_are_not_measured_where_a_file_of_them_is_missing(tmp_path):
    path = tmp_path / "drift/clinc_data_full.json.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(json.dumps({"train": [["what time is it", "time"]]}).encode()))
    datasets = load_datasets(tmp_path, ["toxicity"], 10, 0)
    assert (datasets.sets, [one.texts for one in datasets.ordinary]) == ([], [["what time is it"]])
    assert set(FILES) - set(datasets.absent) == {"drift/clinc_data_full.json.gz"}


def test_a_folder_that_holds_nothing_known(tmp_path):
    with pytest.raises(DataError, match=r"contains none of the 7 known files .*--file and --columns"):
        load_datasets(tmp_path, ["pii"], 10, 0)


class Counting:
    """Counts the texts that it is asked to score."""

    def __init__(self, name):
        self.name = name
        self.seen = []

    def score_answers(self, texts, prompts):
        self.seen += texts
        self.prompts = prompts
        return [Score(score=len(text) / 10, label="ok", flagged=False) for text in texts]


def test_every_text_is_scored_once_by_the_detectors_that_it_is_for():
    sets = [
        LabelledSet(detector="a", name="one", cases=[Case(text="x", label=True), Case(text="xx", label=False)]),
        LabelledSet(detector="a", name="two", cases=[Case(text="x", label=True)]),
        LabelledSet(detector="b", name="one", cases=[Case(text="xx", label=True)]),
    ]
    ordinary = [OrdinaryPrompts(source="chat", texts=["x", "xxx"])]
    a, b = Counting("a"), Counting("b")
    steps = []
    inputs = inputs_of(["a", "b"], sets, ordinary)
    scores = score_all([a, b], inputs, lambda _, done, total: steps.append((done, total)))
    assert (a.seen, b.seen) == (["x", "xx", "xxx"], ["x", "xx", "xxx"])
    assert scores["a"]["xxx", ()].score == 0.3
    assert steps == [(3, 3)]


def test_weights_want_their_digest():
    with pytest.raises(ConfigError, match="give both or neither"):
        create_text("toxicity", {"weights": "own.safetensors"})
    with pytest.raises(ConfigError, match="weights_sha256"):
        create_text("toxicity", {"weights": "own.safetensors", "weights_sha256": "abc"})
