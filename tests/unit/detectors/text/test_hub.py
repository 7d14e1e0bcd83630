"""A classifier from a folder or from the hub's cache: the files that are loaded, and errors with the remedy."""

import hashlib
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_classifier import save_tiny_classifier
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from detectors.errors import ConfigError, WeightsError
from detectors.registry import create_text

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = ["hello there", "you idiot", "a", "a long text about nothing " * 3]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return folder, save_tiny_classifier(folder)


@pytest.fixture
def copied(saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved[0], folder)
    return folder, saved[1] | {"model": str(folder)}


def loaded(options):
    detector = create_text("hub", options)
    detector.load()
    return detector


def test_scores_equal_those_of_transformers(saved):
    folder, options = saved
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text, score in zip(TEXTS, loaded(options).score_many(TEXTS), strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([tokenizer.encode(text).ids[:64]])).logits[0]
        chances = torch.sigmoid(logits)[1:]
        if len(tokenizer.encode(text).ids) <= 64:
            assert score.score == pytest.approx(float(chances.max()), abs=1e-5)
            assert score.flagged == (score.score >= 0.5)
            assert score.label == (["toxic", "insult"][int(chances.argmax())] if score.flagged else "ok")


def test_scores_of_exclusive_labels_add_up_to_one(tmp_path):
    options = save_tiny_classifier(tmp_path, problem_type="single_label_classification")
    every = {"neutral": "n", "toxic": "t", "insult": "i"}
    sums = [
        sum(
            loaded(options | {"labels": {label: word}}).score_many(["hello"])[0].score for label, word in every.items()
        ),
        sum(
            loaded(options | {"labels": {label: word}, "activation": "sigmoid"}).score_many(["hello"])[0].score
            for label, word in every.items()
        ),
    ]
    assert sums[0] == pytest.approx(1.0, abs=1e-5)
    assert sums[1] != pytest.approx(1.0, abs=1e-3)


def test_a_long_text_is_read_in_windows_and_unread_text_is_reported(saved):
    text = "hello there " * 200
    whole, part = loaded(saved[1]), loaded(saved[1] | {"max_windows": 2, "threshold": 1.0})
    assert whole.score_many([text])[0].covered == 1.0
    score = part.score_many([text])[0]
    assert 0 < score.covered < 0.2
    assert score.label == "error"


def test_shards_are_loaded_by_their_index(saved, tmp_path):
    options = save_tiny_classifier(tmp_path, max_shard_size="8KB")
    assert len(options["sha256"]) > 1
    assert loaded(options).score_many(TEXTS) == loaded(saved[1]).score_many(TEXTS)


def test_other_weights_have_another_version(saved, tmp_path):
    other = save_tiny_classifier(tmp_path, seed=1)
    assert create_text("hub", saved[1]).version != create_text("hub", other).version


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"model": ""}, ConfigError, "name a folder or a repository"),
        ({"model": "no/such/folder/here"}, WeightsError, "is neither a folder nor"),
        ({"model": "unitary/toxic-bert"}, ConfigError, "revision to its commit, 40 hexadecimal digits"),
        ({"model": "unitary/toxic-bert", "revision": "main"}, ConfigError, "toxic-bert is 'main'"),
        (
            {"model": "unitary/toxic-bert", "revision": COMMIT},
            WeightsError,
            "is not in the hub's cache .*: set .*allow_download = true",
        ),
        ({"sha256": {}}, WeightsError, "no SHA-256 is given for model.safetensors"),
        ({"sha256": {"model.safetensors": "0" * 64}}, WeightsError, "hub.sha256 has 0000"),
        ({"labels": {}}, ConfigError, "labels are empty; the model's are neutral, toxic, insult"),
        ({"labels": {"hate": "hate"}}, ConfigError, "'hate' are unknown"),
    ],
)
def test_an_error_has_the_remedy(saved, change, error, told):
    with pytest.raises(error, match=told):
        loaded(saved[1] | change)


def test_a_pickle_is_never_opened(copied):
    folder, options = copied
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/weir-pickle-ran'\ntR.")
    with pytest.raises(WeightsError, match=r"only in pytorch_model\.bin: a pickle can run code .* convert it"):
        loaded(options)


def test_a_pickle_beside_safetensors_is_ignored(copied, saved):
    folder, options = copied
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/weir-pickle-ran'\ntR.")
    assert loaded(options).score_many(TEXTS) == loaded(saved[1]).score_many(TEXTS)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.safetensors", "has no model.safetensors"),
        ("tokenizer.json", "no tokenizer.json"),
        ("config.json", "is not a sequence"),
    ],
)
def test_a_missing_file_is_named(copied, name, told):
    folder, options = copied
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=told):
        loaded(options)


def test_a_changed_byte_is_an_error(copied):
    folder, options = copied
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="fetch the revision that you pinned"):
        loaded(options)


def test_any_file_can_be_pinned(copied):
    _, options = copied
    with pytest.raises(WeightsError, match=r"config\.json has SHA-256"):
        loaded(options | {"sha256": options["sha256"] | {"config.json": "f" * 64}})


def test_a_model_without_a_classifier_is_an_error(saved, tmp_path):
    shutil.copytree(saved[0], tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "classifier" not in name}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match="such as classifier"):
        loaded(saved[1] | {"model": str(tmp_path / "m"), "sha256": {"model.safetensors": digest}})


def test_code_of_a_repository_is_never_run(copied):
    folder, options = copied
    config = (
        (folder / "config.json")
        .read_text()
        .replace('"model_type": "bert"', '"model_type": "other", "auto_map": {"AutoConfig": "evil.C"}')
    )
    (folder / "config.json").write_text(config)
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(WeightsError, match="is not a sequence classifier"):
        loaded(options)


def test_a_missing_transformers_package_is_reported(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "detectors.models.hub_model", None)
    with pytest.raises(WeightsError, match="pip install transformers"):
        loaded(saved[1])
