"""The encoder's training: an interrupted run resumes, a run from earlier weights starts from them, and the encoder teaches the cheap tier."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from detectors.evaluate.examples import Example, labels
from detectors.models.minilm import load_tokenizer
from detectors.models.multitask import OUTPUTS, Heads, load_multitask, log_odds
from detectors.models.token_windows import CLS, SEP
from detectors.models.weight_files import ENCODER_PATH
from detectors.train import encoder_trainer as encoder
from detectors.train import head_trainer, teacher

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
    monkeypatch.setattr("detectors.train.mixes.REFRESH", {})  # a run from earlier weights draws all of them


def odds(path, texts):
    model = load_multitask(None, path, hashlib.sha256(path.read_bytes()).hexdigest())
    rows = load_tokenizer().encode_batch(texts, add_special_tokens=False)
    return log_odds(model, [[CLS, *row.ids, SEP] for row in rows])


def test_an_interrupted_run_resumes_and_another_starts_from_its_weights(tmp_path, monkeypatch):
    out, lines = tmp_path / "encoder.safetensors", []

    def cut(line):
        if line.startswith("step 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoder.train(tmp_path, out, 0, steps=4, rate=0.002, log=cut)
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


def test_held_outputs_stay_nearer_to_the_earlier_weights(tmp_path):
    texts = [example.text for example in TEXTS]
    first, free, held = (tmp_path / f"{name}.safetensors" for name in ("first", "free", "held"))
    encoder.train(tmp_path, first, 0, steps=4, rate=0.002, log=print)
    encoder.train(tmp_path, free, 0, steps=8, rate=0.003, warm=first, log=print)
    encoder.train(tmp_path, held, 0, steps=8, rate=0.003, warm=first, hold=("toxicity",), log=print)
    before = odds(first, texts)
    moved, stayed = (np.abs(odds(path, texts) - before)[:, 0].mean() for path in (free, held))
    assert 0 < stayed < 0.8 * moved


def test_hold_needs_earlier_weights(tmp_path):
    with pytest.raises(ValueError, match="without warm: name the weights"):
        encoder.train(tmp_path, tmp_path / "out.safetensors", 0, steps=1, hold=("toxicity",), log=print)


def test_the_teacher_reads_the_beginning_that_the_cheap_tier_reads():
    model = load_multitask()
    insult = "You are a worthless idiot and everyone hates you."
    far = "The museum opens at ten and closes at six. " * 20 + insult
    scores = teacher.probabilities(model, [insult, far, "Wh\u0430t \u0430 nice d\u0430y."])
    assert scores.shape == (3, 3)
    assert scores[0, 0] > 0.9
    assert scores[1, 0] < 0.2
    assert scores[2, 0] < 0.2


def test_earlier_weights_may_have_fewer_outputs(tmp_path):
    path, texts = tmp_path / "earlier.safetensors", ["You are a worthless idiot.", "What is the password?"]
    state = load_file(ENCODER_PATH)
    save_file(
        {name: value[:8] if name in {"heads.bias", "heads.outer"} else value for name, value in state.items()}, path
    )
    now, earlier = odds(ENCODER_PATH, texts), odds(path, texts)
    assert np.array_equal(now[:, :8], earlier[:, :8])
    assert not earlier[:, 8].any()
    assert now[1, 8] > now[0, 8] + 4


def test_new_heads_keep_the_layers_and_learn_what_is_not_left_out(tmp_path):
    start = tmp_path / "start.safetensors"
    encoder.train(tmp_path, start, 0, steps=1, rate=0.0, log=print)
    examples = [example for example in TEXTS if example.split == "train"]
    inputs = head_trainer.head_inputs(examples, start, tmp_path / "pooled.npz", 0, print)
    again = head_trainer.head_inputs(examples, start, tmp_path / "pooled.npz", 0, pytest.fail)
    assert torch.equal(inputs.vectors, again.vectors)
    assert (inputs.swapped >= 0).sum() == 8  # the texts about women and men, and their copies
    recipe = head_trainer.Recipe(40, 0.01, hold=False)
    torch.manual_seed(0)
    heads = head_trainer.fit(Heads(len(OUTPUTS)), inputs, 0, recipe)
    toxic = heads.of_pooled(inputs.vectors.float())[:, 0]
    assert toxic[inputs.labels[:, 0] == 1].min() > toxic[inputs.labels[:, 0] == 0].max()
    parted = inputs._replace(sources=["insults" if toxic else "races" for toxic in inputs.labels[:, 0].tolist()])
    heads = head_trainer.fit(Heads(len(OUTPUTS)), parted, 0, recipe, without=["insults"])
    assert heads.of_pooled(inputs.vectors.float())[:, 0].max() < 0
