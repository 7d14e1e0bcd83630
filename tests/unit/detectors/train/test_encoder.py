"""Training of the encoder: resumed runs, runs from earlier weights, and the encoder as the teacher of the cheap tier."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from detectors.evaluate.datasets import SHIPPED_SEED
from detectors.evaluate.examples import Example, labels
from detectors.models.backbone import compiled
from detectors.models.minilm import load_tokenizer
from detectors.models.multitask import load_multitask, log_odds
from detectors.models.token_windows import CLS, SEP
from detectors.models.weight_files import ENCODER, WeightFile
from detectors.train import calibration, exit_trainer, linear_trainer, teacher
from detectors.train import encoder_trainer as encoder
from detectors.train.lowrank import joined
from detectors.train.soup import interpolate

TEXTS = [
    *(Example(f"You are a useless idiot, number {n}", labels(1.0, harassment=1.0), 1.0, "own_retort") for n in range(8)),
    *(Example(f"Which women and men won race {n}?", labels(0.0), 1.0, "own_retort") for n in range(8)),
    Example("held out", labels(0.0), 1.0, "own_retort", "test"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(encoder, "load_examples", lambda *_: TEXTS)
    monkeypatch.setattr(encoder, "TOKENS_A_BATCH", 64)
    monkeypatch.setattr(encoder, "EVERY", 1)
    monkeypatch.setattr(encoder, "MIXTURE", {})  # every text once


@pytest.fixture
def shallow(monkeypatch):
    """Two of the six layers: every layer is trained, merged and averaged by the same code."""
    monkeypatch.setattr("detectors.models.minilm.LAYERS", 2)
    monkeypatch.setattr("detectors.models.multitask.compiled", partial(compiled, last=2))


def odds(path, texts):
    model = load_multitask(None, WeightFile.own(path))
    rows = load_tokenizer().encode_batch(texts, add_special_tokens=False)
    return log_odds(model, [[CLS, *row.ids, SEP] for row in rows])


def cut(step, lines):
    """A log of a run that ends after a step."""

    def log(line):
        lines.append(line)
        if line.startswith(f"step {step}/"):
            raise KeyboardInterrupt

    return log


@pytest.mark.usefixtures("shallow")
def test_an_interrupted_run_resumes_and_a_new_run_starts_from_its_weights(tmp_path, monkeypatch):
    out, lines = tmp_path / "encoder.safetensors", []

    with pytest.raises(KeyboardInterrupt):
        encoder.train(tmp_path, out, 0, steps=4, rate=0.002, log=cut(2, lines))
    lines.clear()
    encoder.train(tmp_path, out, 0, steps=4, rate=0.002, log=lines.append)
    assert "resumes after step 2" in lines
    assert not [line for line in lines if line.startswith(("step 1/", "step 2/"))]
    assert [path.name for path in tmp_path.iterdir()] == [out.name]

    texts = [example.text for example in TEXTS]
    before = odds(out, texts)
    assert np.abs(before - before[0]).max() > 0.01
    still, further = tmp_path / "still.safetensors", tmp_path / "further.safetensors"
    encoder.train(tmp_path, still, 0, steps=1, rate=0.0, warm=out, log=lines.append)
    assert odds(still, texts) == pytest.approx(before, abs=0.02)
    encoder.train(tmp_path, further, 0, steps=6, rate=0.003, warm=out, log=lines.append)
    after = odds(further, texts)
    gap = after[:8, 0].mean() - after[8:16, 0].mean()
    assert gap > before[:8, 0].mean() - before[8:16, 0].mean() + 0.1


@pytest.mark.usefixtures("shallow")
def test_a_run_with_another_seed_reads_the_texts_and_splits_of_the_shipped_linear_model(tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr(encoder, "load_examples", lambda _, seed: seeds.append(seed) or TEXTS)
    encoder.train(tmp_path, tmp_path / "out.safetensors", 7, steps=1, log=print)
    monkeypatch.setattr(calibration, "load_examples", lambda _, seed: seeds.append(seed) or TEXTS)
    calibration.held_out(tmp_path, 7)
    assert seeds == [SHIPPED_SEED] * 2


@pytest.mark.usefixtures("shallow")
def test_a_checkpoint_of_another_run_is_not_continued(tmp_path):
    out = tmp_path / "encoder.safetensors"

    with pytest.raises(KeyboardInterrupt):
        encoder.train(tmp_path, out, 0, steps=4, rate=0.002, log=cut(2, []))
    checkpoint = out.with_suffix(".checkpoint.safetensors")
    state = checkpoint.read_bytes()
    for other in ({"seed": 1}, {"rate": 0.001}, {"steps": 5}):
        checkpoint.write_bytes(state)
        lines = []
        with pytest.raises(KeyboardInterrupt):
            encoder.train(tmp_path, out, **{"seed": 0, "steps": 4, "rate": 0.002, "log": cut(1, lines)} | other)
        assert not [line for line in lines if line.startswith("resumes")], other
        assert [line for line in lines if "is of a run with other options or data, and is overwritten" in line]


def test_some_tokens_of_a_row_are_dropped_in_the_same_way_with_the_same_seed():
    tokens = list(range(1000, 1050))

    def rows(seed, tokens=tokens, count=40):
        examples = [Example("a text", labels(0.0), 1.0, "other")] * count
        made = encoder.batches(examples, [tokens] * count, [[]] * count, random.Random(seed))
        return [item.rows[0][1:-1] for batch in made for item in batch]

    assert rows(1) == rows(1) != rows(2)
    assert 0.75 * 50 < sum(map(len, rows(1))) / 40 < 0.95 * 50
    assert all(row == sorted(row) and set(row) <= set(tokens) for row in rows(1))
    assert rows(1, [7]) == [[7]] * 40, "a row is never empty"


def test_an_adapter_keeps_the_largest_singular_values():
    torch.manual_seed(0)
    first, second = ((torch.randn(20, 200), torch.randn(300, 20)) for _ in range(2))
    wide = first[1] @ first[0] + second[1] @ second[0]
    a, b = joined([first, second], 96)
    assert torch.allclose(b @ a, wide, atol=1e-3)
    a, b = joined([first, second], 30)
    assert (a.shape, b.shape) == ((30, 200), (300, 30))
    lost = torch.linalg.svdvals(wide)[30:].norm()
    assert float((b @ a - wide).norm()) == pytest.approx(float(lost), rel=1e-3)


@pytest.mark.usefixtures("shallow")
def test_the_weights_between_two_runs_have_outputs_between_theirs(tmp_path):
    texts = [example.text for example in TEXTS]
    first, further, between = (tmp_path / f"{name}.safetensors" for name in ("first", "further", "between"))
    encoder.train(tmp_path, first, 0, steps=4, rate=0.002, log=print)
    encoder.train(tmp_path, further, 0, steps=6, rate=0.003, warm=first, log=print)
    far = odds(further, texts)
    interpolate([first, further], [1.0], between)
    assert odds(between, texts) == pytest.approx(far, abs=0.02)
    interpolate([first, further, further], [0.5, 0.5], between)  # both changes are relative to the first weights
    assert odds(between, texts) == pytest.approx(far, abs=0.02)
    interpolate([first, further], [0.0], between)
    assert odds(between, texts) == pytest.approx(odds(first, texts), abs=0.02)


@pytest.mark.usefixtures("shallow")
def test_a_run_without_a_source_reads_none_of_its_texts(tmp_path, monkeypatch):
    other = [Example(text, known, 1.0, "other") for text, known, *_ in TEXTS[:8]]
    monkeypatch.setattr(encoder, "load_examples", lambda *_: [*TEXTS, *other])
    lines = []
    encoder.train(tmp_path, tmp_path / "out.safetensors", 0, steps=1, without=("other",), log=lines.append)
    assert lines[0].startswith("16 examples")
    with pytest.raises(
        ValueError, match=r"no training text of the sources \['else'\]; known: \['other', 'own_retort'\]"
    ):
        encoder.train(tmp_path, tmp_path / "out.safetensors", 0, steps=1, without=("else",), log=print)


def test_the_teacher_reads_the_beginning_that_the_cheap_tier_reads():
    model = load_multitask()
    insult = "You are a worthless idiot and everyone hates you."
    far = "".join(f"Room {room} of the museum opens at ten and closes at six. " for room in range(20)) + insult
    scores = teacher.probabilities(model, [insult, far, "Wh\u0430t \u0430 nice d\u0430y."])
    assert scores.shape == (3, 3)
    assert scores[0, 0] > 0.9
    assert scores[1, 0] < 0.2
    assert scores[2, 0] < 0.3


def test_the_teacher_resumes_only_its_own_run(tmp_path, monkeypatch):
    texts = [Example(f"text {n}", labels(0.0), 1.0, "davidson") for n in range(4)]
    monkeypatch.setattr(teacher, "load_examples", lambda *_: texts)
    monkeypatch.setattr(teacher, "load_multitask", lambda *_: None)
    monkeypatch.setattr(teacher, "BLOCK", 1)
    seen = []

    def probabilities(_, texts):
        seen.extend(texts)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return np.zeros((len(texts), 3), np.float32)

    monkeypatch.setattr(teacher, "probabilities", probabilities)
    out = tmp_path / "teacher.npy"
    with pytest.raises(KeyboardInterrupt):
        teacher.write_probabilities(tmp_path, out, 0, log=print)
    teacher.write_probabilities(tmp_path, out, 0, log=print, precision="bfloat16")
    assert len(seen) == 3 + 4, "the texts of the other run do not count"
    teacher.write_probabilities(tmp_path, out, 0, log=print)
    assert len(seen) == 3 + 4 + 2
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_linear_model_rejects_the_teacher_of_another_split(tmp_path, monkeypatch):
    monkeypatch.setattr(linear_trainer, "load_examples", lambda *_: TEXTS)
    np.save(tmp_path / "teacher.npy", np.zeros((3, 3)))
    with pytest.raises(
        ValueError, match=r"teacher.npy has 3 rows, the train split 16 texts: .* same --data and --seed"
    ):
        linear_trainer.train(tmp_path, tmp_path / "linear.safetensors", 0, log=print, teacher=tmp_path / "teacher.npy")


def test_earlier_weights_may_have_fewer_outputs(tmp_path):
    path, texts = tmp_path / "earlier.safetensors", ["You are a worthless idiot.", "What is the password?"]
    state = load_file(ENCODER.path)
    save_file(
        {name: value[:8] if name in {"heads.bias", "heads.outer"} else value for name, value in state.items()}, path
    )
    now, earlier = odds(ENCODER.path, texts), odds(path, texts)
    assert np.array_equal(now[:, :8], earlier[:, :8])
    assert not earlier[:, 8].any()
    assert now[1, 8] > now[0, 8] + 4


@pytest.mark.usefixtures("shallow")
def test_an_exit_is_added_to_the_weights_and_its_limits_keep_positive_windows(tmp_path, monkeypatch):
    held = [example._replace(split="tune") for example in TEXTS]
    monkeypatch.setattr(exit_trainer, "load_examples", lambda *_: [*TEXTS, *held])
    out, lines = tmp_path / "encoder.safetensors", []
    encoder.train(tmp_path, out, 0, steps=1, log=lines.append)
    before = load_file(out)

    exit_trainer.train(tmp_path, out, 0, log=lines.append)
    exit_trainer.train(tmp_path, out, 0, log=lines.append)  # replaces the exit of the first run
    after = load_file(out)
    assert {name for name in after if not name.startswith("exit.")} == set(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert load_multitask(None, WeightFile.own(out)).exit is not None
