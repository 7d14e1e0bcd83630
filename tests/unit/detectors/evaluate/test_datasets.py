"""What a folder of known sets is read for, and that every text is scored once."""

import gzip
import json

import pytest

from detectors.base import Score
from detectors.errors import ConfigError, DataError
from detectors.evaluate.datasets import known_sets
from detectors.evaluate.labelled import Case, LabelledSet, Ordinary
from detectors.evaluate.scoring import score_all, texts_of
from detectors.registry import create_text
from detectors.train.datasets import FILES


def test_the_encoder_s_sets_are_not_measured_where_a_file_of_them_is_missing(tmp_path):
    path = tmp_path / "drift/clinc_data_full.json.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(json.dumps({"train": [["what time is it", "time"]]}).encode()))
    known = known_sets(tmp_path, ["toxicity"], 10, 0)
    assert (known.sets, [one.texts for one in known.ordinary]) == ([], [["what time is it"]])
    assert set(FILES) - set(known.absent) == {"drift/clinc_data_full.json.gz"}


def test_a_folder_that_holds_nothing_known(tmp_path):
    with pytest.raises(DataError, match=r"holds none of the 5 known files .*--file and --columns"):
        known_sets(tmp_path, ["pii"], 10, 0)


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
    ordinary = [Ordinary(source="chat", texts=["x", "xxx"])]
    a, b = Counting("a"), Counting("b")
    steps = []
    wanted = texts_of(["a", "b"], sets, ordinary)
    scores = score_all([a, b], wanted, lambda _, done, total: steps.append((done, total)))
    assert (a.seen, b.seen) == (["x", "xx", "xxx"], ["x", "xx", "xxx"])
    assert scores["a"]["xxx", ()].score == 0.3
    assert steps == [(3, 3)]


def test_weights_want_their_digest():
    with pytest.raises(ConfigError, match="give both or neither"):
        create_text("toxicity", {"weights": "own.safetensors"})
    with pytest.raises(ConfigError, match="weights_sha256"):
        create_text("toxicity", {"weights": "own.safetensors", "weights_sha256": "abc"})
