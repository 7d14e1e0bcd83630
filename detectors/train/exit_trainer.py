"""Training of the shared encoder's early exit.

The exit learns the encoder's own probabilities (distillation, Hinton et al., arXiv 1503.02531) from the token vectors after the first layer and
the linear model's log-odds of the text. Its limits are chosen on the tune split: for each output, the share `LOST` of the windows that
the encoder scores .5 or higher may leave early.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from detectors.evaluate.examples import Example
from detectors.models.linear import load_linear
from detectors.models.minilm import load_tokenizer, pad
from detectors.models.multitask import EXITS, EarlyExit, MultiTask, SplitBackbone, load_multitask, pooled
from detectors.models.token_windows import buckets, tokenize, windows
from detectors.models.weight_files import WeightFile
from detectors.normalise.disguise import views
from detectors.train.averaged_training import Log
from detectors.train.mixes import load_examples

TEXTS, WINDOWS = 45_000, 3
#: Sources whose texts are read first, and the factor of the weight of a written text.
FIRST, WRITTEN = ("written_", "t0_"), 6.0
EPOCHS, ROWS, RATE, DECAY, DROPPED = 20, 256, 1e-3, 0.05, 0.1
#: Factor of the loss of positive windows.
POSITIVE = 2.0
#: Share of the positive windows that may leave early.
LOST = 0.01


def _rows(model: MultiTask, examples: Sequence[Example], rng: random.Random, log: Log) -> tuple[Tensor, Tensor, Tensor]:
    """Return the features of the exit, (n, features), the encoder's log-odds of `EXITS`, (n, exits), and weights, (n), of windows of texts."""
    assert isinstance(model.backbone, SplitBackbone)
    copies = [views(example.text) for example in examples]
    linear = torch.from_numpy(load_linear().highest_logits(copies)).float()
    owners, rows = [], []
    for owner, tokens in enumerate(tokenize(load_tokenizer(), [found[-1] for found in copies])):
        cut = windows(tokens, len(tokens) + 1).rows
        chosen = rng.sample(cut, min(WINDOWS, len(cut)))
        owners += [owner] * len(chosen)
        rows += chosen
    features = torch.zeros(len(rows), model.heads.inner.in_features + linear.shape[1])
    odds = torch.zeros(len(rows), len(EXITS))
    with torch.inference_mode():
        for number, batch in enumerate(buckets(rows)):
            ids, mask = pad([rows[index] for index in batch])
            hidden = model.backbone.lower(ids, mask)
            features[batch] = torch.cat([pooled(hidden, mask), linear[[owners[index] for index in batch]]], dim=1)
            odds[batch] = model.heads(pooled(model.backbone.upper(hidden, mask), mask))[:, EXITS]
            if number % 100 == 0:
                log(f"encoding {len(rows)} windows: batch {number}")
    weights = torch.tensor([WRITTEN if examples[owner].source.startswith("written_") else 1.0 for owner in owners])
    return features, odds, weights / weights.mean()


def _fit(features: Tensor, odds: Tensor, weights: Tensor, log: Log) -> EarlyExit:
    """Fit the exit's heads to the probabilities of the log-odds.

    `POSITIVE` raises the odds by this factor, so its logarithm is subtracted afterwards.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    targets, positive = odds.sigmoid(), torch.full((len(EXITS),), POSITIVE)
    found = EarlyExit()
    nn.init.normal_(found.heads.outer, std=0.05)
    optimizer = torch.optim.AdamW(found.heads.parameters(), RATE, weight_decay=DECAY)
    steps = EPOCHS * -(-len(features) // ROWS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.02)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.split(torch.randperm(len(features)), ROWS):
            inputs = nn.functional.dropout((features[batch] - mean) / deviation, DROPPED)
            loss = nn.functional.binary_cross_entropy_with_logits(
                found.heads(inputs), targets[batch], weights[batch, None], pos_weight=positive
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        log(f"epoch {epoch + 1} of {EPOCHS}: loss {total / len(features):.4f}")
    inner = found.heads.inner
    with torch.no_grad():  # the heads read features that are not normalised
        inner.weight.div_(deviation)
        inner.bias.sub_(inner.weight @ mean)
        found.heads.bias.sub_(math.log(POSITIVE))
    return found.half().float()


def train(data: Path, out: Path, seed: int, *, log: Log) -> None:
    """Fit an early exit for the encoder's weights in ``out`` and write it into this file."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    examples = load_examples(data, seed)
    rng.shuffle(examples)
    examples.sort(key=lambda example: not example.source.startswith(FIRST))
    texts = {split: [e for e in examples if e.split == split][:TEXTS] for split in ("train", "tune")}
    model = load_multitask(None, WeightFile.own(out))
    found = _fit(*_rows(model, texts["train"], rng, log), log)
    features, odds, _ = _rows(model, texts["tune"], rng, log)
    with torch.inference_mode():
        early = found.heads(features)
    for place in range(len(EXITS)):
        positive = early[odds[:, place] > 0, place]
        if len(positive):
            found.limits[place] = torch.quantile(positive, LOST)
    clear = (early < found.limits).all(1)
    log(f"limits {found.limits.sigmoid().tolist()}: {clear.float().mean():.3f} of {len(clear)} windows leave early")
    kept = {name: value for name, value in load_file(out).items() if not name.startswith("exit.")}
    added = {f"exit.{name}": value.half() if "heads" in name else value for name, value in found.state_dict().items()}
    save_file(kept | added, out)
