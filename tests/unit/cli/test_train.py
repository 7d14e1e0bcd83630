"""`weir train-detector` with a trainer that the test adds to the registry."""

import gzip
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file
from support.cases import cases

from detectors.errors import WeightsError
from detectors.evaluate.provenance import data_files
from detectors.evaluate.readers import HALUEVAL, MTBENCH
from detectors.registry import create_text
from detectors.train import calibration, encoder_trainer
from detectors.train.real_texts import planted_examples, real_examples
from detectors.train.trainers import TRAINERS, CardText, Trainer
from weir.cli import main

CASES = cases(__file__)

FILE, MORE = "pii/presidio_generated_small.json.gz", "more.txt"
TEXT = "Write to anna.keller@example.com please."


def learn(data, out, seed, share, log):
    """Fit the mean length of the texts in two steps, with a checkpoint between them."""
    checkpoint = out.with_suffix(".checkpoint")
    if not checkpoint.exists():
        log("step 1/2")
        checkpoint.write_text(str(seed))
        if (data / "cut").exists():
            raise KeyboardInterrupt
    log(f"step 2/2 after seed {checkpoint.read_text()}, share {share}")
    texts = [record["full_text"] for record in json.loads(gzip.decompress((data / FILE).read_bytes()))]
    save_file({"length": np.array([np.mean([len(text) for text in texts])])}, out)
    checkpoint.unlink()


LENGTH = Trainer(
    train=learn,
    weights="length.safetensors",
    files=(FILE,),
    optional=(MORE,),
    detectors=("pii",),
    options=lambda _, digest: {"threshold": 0.9 if digest else 0.8},
    card=CardText(recipe="The mean length.", limits=("It knows no meaning.",)),
)


@pytest.fixture(autouse=True)
def _recipe(home, monkeypatch):
    monkeypatch.setitem(TRAINERS, "length", LENGTH)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def data(tmp_path):
    start = TEXT.index("anna")
    span = {"start_position": start, "end_position": start + 23, "entity_type": "EMAIL_ADDRESS"}
    (tmp_path / "data/pii").mkdir(parents=True)
    records = [{"full_text": TEXT, "spans": [span]}, {"full_text": "The garden is green.", "spans": []}]
    (tmp_path / "data" / FILE).write_bytes(gzip.compress(json.dumps(records).encode()))
    return tmp_path / "data"


def weir(*arguments, code=0, error=""):
    result = CliRunner().invoke(main, ["train-detector", *arguments])
    assert result.exit_code == code, result.stderr
    assert error in result.stderr
    return result


def test_weights_record_metrics_and_card(tmp_path, data):
    (data / MORE).write_text("a text")
    result = weir("length", "--data", "data", "--seed", "7", error="step 1/2")
    assert "MODEL_CARD.md; to use the weights, copy its lines for weir.toml" in result.stdout
    out = tmp_path / "trained/length"
    assert load_file(out / "length.safetensors")["length"][0] == 30.0
    record = json.loads((out / "run.json").read_text())
    (file, more) = data_files(data, [FILE, MORE])
    assert (record["seed"], record["data"]) == (7, [msgspec.to_builtins(file), msgspec.to_builtins(more)])
    assert record["versions"]["numpy"] == np.__version__
    (metrics,) = json.loads((out / "figures.json").read_text())["detectors"]
    assert metrics["config"]["threshold"] == 0.9
    card = (out / "MODEL_CARD.md").read_text()
    (digest,) = data_files(out, ["length.safetensors"])
    options = "[detectors.options.pii]\nthreshold = 0.9"
    parts = [digest.sha256, file.sha256, options, "with seed 7", "presidio_generated_small"]
    assert [part for part in (*parts, LENGTH.card.recipe, *LENGTH.card.limits) if part not in card] == []


def test_a_share_shortens_the_run_and_a_resumed_run_keeps_it(data):
    (data / "cut").touch()
    weir("length", "--data", "data", "--share", "0.5", code=130)
    (data / "cut").unlink()
    weir("length", "--data", "data", "--resume", code=1, error="a run with share 0.5, not 1.0")
    weir("length", "--data", "data", "--share", "0.5", "--resume", error="share 0.5")
    weir("length", "--data", "data", "--share", "0", code=2, error="0<x<=1")


def test_the_card_of_pii_names_the_ordinary_prompts_that_can_be_training_texts(tmp_path, data):
    (data / HALUEVAL).parent.mkdir()
    row = {"user_query": "How long is the Nile?", "chatgpt_response": "6,650 km."}
    (data / HALUEVAL).write_bytes(gzip.compress(json.dumps(row).encode()))
    (data / MTBENCH).parent.mkdir()
    (data / MTBENCH).write_text(json.dumps({"turns": ["Write a poem."]}))
    weir("length", "--data", "data")
    card = (tmp_path / "trained/length/MODEL_CARD.md").read_text()
    assert "halueval_question: 0 of 1 flagged; some were trained on as texts without personal data\n" in card
    assert "mtbench: 0 of 1 flagged\n" in card


def test_an_interrupted_run_resumes_from_its_checkpoint_if_nothing_changed(tmp_path, data):
    (data / "cut").touch()
    weir("length", "--data", "data", "--seed", "3", code=130, error="run the same command with --resume")
    (data / "cut").unlink()
    weir("length", "--data", "data", "--seed", "3", code=1, error="--resume")
    weir("length", "--data", "data", "--seed", "4", "--resume", code=1, error="a run with seed 3, not 4")
    kept = (data / FILE).read_bytes()
    (data / FILE).write_bytes(gzip.compress(b"[]"))
    weir("length", "--data", "data", "--seed", "3", "--resume", code=1, error=f"{FILE} has changed")
    (data / FILE).write_bytes(kept)
    (data / MORE).write_text("a text")
    weir("length", "--data", "data", "--seed", "3", "--resume", code=1, error=f"{MORE} has changed")
    (data / MORE).unlink()
    result = weir("length", "--data", "data", "--seed", "3", "--resume", error="step 2/2 after seed 3")
    assert "step 1/2" not in result.stderr
    assert (tmp_path / "trained/length/MODEL_CARD.md").exists()


def test_a_complete_run_is_measured_again_and_not_trained_again(tmp_path, data):
    weir("length", "--data", "data")
    out = tmp_path / "trained/length"
    card = out / "MODEL_CARD.md"
    before, text = (out / "length.safetensors").stat().st_mtime_ns, card.read_text()
    card.unlink()
    assert "step" not in weir("length", "--data", "data", "--resume").stderr
    assert (out / "length.safetensors").stat().st_mtime_ns == before
    assert card.read_text().split("## Figures")[1] == text.split("## Figures")[1]
    (out / "length.safetensors").write_bytes(b"other")
    weir("length", "--data", "data", "--resume", code=1, error="is not the file that the run in trained/length wrote")


@pytest.mark.parametrize(("arguments", "message"), CASES["errors"])
def test_an_error_is_one_line_with_the_remedy(tmp_path, data, arguments, message):
    files = {"full/length.safetensors": b"{}", "odd/run.json": b"{}", "bytes/run.json": b'{"at": "\xff"}'}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    weir(*arguments, code=1, error=message)


def test_the_scores_of_an_encoder_are_calibrated_after_the_training_also_in_a_run_that_ended_between(
    tmp_path, monkeypatch
):
    done = []

    def calibrate(*_, **__):
        done.append("calibrated")
        if len(done) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(encoder_trainer, "train", lambda _data, out, *_, **__: done.append("trained") or out.touch())
    monkeypatch.setattr(calibration, "calibrate", calibrate)
    with pytest.raises(KeyboardInterrupt):
        TRAINERS["injection"].train(tmp_path, tmp_path / "encoder.safetensors", 0, 1.0, print)
    TRAINERS["injection"].train(tmp_path, tmp_path / "encoder.safetensors", 0, 1.0, print)
    assert done == ["trained", "calibrated", "calibrated"]


def test_an_encoder_runs_own_weights_and_its_version_has_their_digest(tmp_path):
    from detectors.models.weight_files import ENCODER  # noqa: PLC0415 - beside its use

    own = tmp_path / "own.safetensors"
    state = load_file(ENCODER.path)
    state["heads.bias"] = state["heads.bias"] - 2.0
    save_file(state, own)
    (digest,) = data_files(tmp_path, ["own.safetensors"])
    every = {"limits": (0.0, 1.0)}  # with these limits, the encoder reads each text at any score of the cheap tier
    shipped = create_text("toxicity", every)
    changed = create_text("toxicity", {**every, "weights": str(own), "weights_sha256": digest.sha256})
    assert digest.sha256[:8] in changed.version != shipped.version
    for detector in (shipped, changed):
        detector.load()
    text = "You are all worthless idiots."
    assert changed.score_many([text])[0].score < shipped.score_many([text])[0].score
    other = create_text("toxicity", {**every, "weights": str(own), "weights_sha256": ENCODER.digest})
    with pytest.raises(WeightsError, match="pinned is"):
        other.load()


@pytest.mark.parametrize("detector", ["toxicity", "pii"])
@pytest.mark.parametrize("content", ["the other model's", "cut off", "too narrow"])
def test_weights_of_another_model_are_rejected(tmp_path, detector, content):
    from detectors.models.weight_files import ENCODER, PII  # noqa: PLC0415 - beside their use

    right, other = (ENCODER.path, PII.path) if detector == "toxicity" else (PII.path, ENCODER.path)
    own = tmp_path / "own.safetensors"
    if content == "too narrow":
        save_file({name: value[:-1] for name, value in load_file(right).items()}, own)
    else:
        own.write_bytes(other.read_bytes() if content == "the other model's" else right.read_bytes()[:-1])
    (digest,) = data_files(tmp_path, ["own.safetensors"])
    refused = create_text(detector, {"weights": str(own), "weights_sha256": digest.sha256})
    with pytest.raises(WeightsError, match=r"own.safetensors has no weights of .*: copy .* from the MODEL_CARD.md"):
        refused.load()


def test_the_trainer_of_an_encoder_lists_every_file_that_its_examples_are_read_from(tmp_path, monkeypatch):
    trainer, read = TRAINERS["toxicity"], set()
    monkeypatch.setattr(Path, "exists", lambda path, **_: bool(read.add(path)))
    list(planted_examples(tmp_path))
    list(real_examples(tmp_path))
    assert {str(path.relative_to(tmp_path)) for path in read if path.is_relative_to(tmp_path)} == set(trainer.optional)
