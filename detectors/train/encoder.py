"""Train the shared encoder: ``python -m detectors.train.encoder --data ../shared/data``.

Writes ``detectors/weights/encoder.safetensors`` and prints its digest, to be pinned in `detectors.pinned`. About half an
hour on two cores.
"""

import argparse
import hashlib
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from detectors.minilm import load_minilm, load_tokenizer, pad
from detectors.multitask import MultiTask
from detectors.pinned import ENCODER_PATH
from detectors.train.data import Example, load_examples

__all__ = ["main"]

RANK, SCALE = 24, 2.0
WINDOW, TOKENS_A_BATCH = 126, 2304
CLS, SEP = 101, 102
POSITIVE_WEIGHT = (1.0, 1.5, 3.0)
SMOOTHING = 0.02
Item = tuple[list[int], tuple[float, ...], float]


class LowRank(nn.Module):
    """A frozen linear map plus a trained one of low rank; its bias is trained too."""

    def __init__(self, base: nn.Linear, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(RANK, base.in_features, generator=generator) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply both maps."""
        mapped: Tensor = self.base(inputs) + (inputs @ self.a.T) @ (self.b.T * SCALE)
        return mapped


def adapt(model: MultiTask, seed: int) -> None:
    """Replace every matrix of the layers by its low-rank adapted form; train norms and biases of the layers too."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.backbone.layers:
        for name in ("qkv", "out", "inner", "outer"):
            linear = getattr(layer, name)
            linear.bias.requires_grad = True
            setattr(layer, name, LowRank(linear, generator))
        for norm in (layer.norm_attention, layer.norm_output):
            norm.requires_grad_()


def delta(averaged: dict[str, Tensor], start: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what training changed, in float16, under the names that `detectors.multitask.merge` reads."""
    result: dict[str, Tensor] = {}
    for name, value in averaged.items():
        short = name.removeprefix("backbone.")
        if name.startswith("heads."):
            result[name] = value
        elif name.endswith(".a"):
            result[short] = value
        elif name.endswith(".b"):
            result[short] = value * SCALE
        else:
            result[f"{short.replace('.base', '')}.shift"] = value - start[name]
    return {name: value.half().contiguous() for name, value in result.items()}


def windows(tokens: list[int], example: Example, rng: random.Random) -> Iterator[tuple[list[int], float]]:
    """Yield the windows of a text to train on this epoch: its beginning, and for long ones sometimes another part.

    A jailbreak's later windows may be innocent, so they weigh less.
    """
    yield tokens[:WINDOW], 1.0
    if len(tokens) > WINDOW + 20 and (example.labels[1] == 1 or rng.random() < 0.5):
        start = rng.randrange(20, len(tokens) - 20)
        yield tokens[start : start + WINDOW], 0.25 if max(example.labels) == 1 else 1.0


def batches(examples: Sequence[Example], tokens: Sequence[list[int]], rng: random.Random) -> list[list[Item]]:
    """Cut one epoch into batches of similar length and equal cost, in random order."""
    items: list[Item] = []
    for example, ids in zip(examples, tokens, strict=True):
        for window, factor in windows(ids, example, rng):
            items.append(([CLS, *window, SEP], example.labels, example.weight * factor))
    items.sort(key=lambda item: (len(item[0]) + rng.random() * 4, rng.random()))
    result: list[list[Item]] = [[]]
    for item in items:
        if len(result[-1]) >= 96 or (len(result[-1]) + 1) * len(item[0]) > TOKENS_A_BATCH:
            result.append([])
        result[-1].append(item)
    rng.shuffle(result)
    return result


def loss_of(model: MultiTask, batch: Sequence[Item]) -> Tensor:
    """Weighted cross-entropy over the labels that are known."""
    ids, mask = pad([item[0] for item in batch])
    labels = torch.tensor([item[1] for item in batch])
    weights = torch.tensor([item[2] for item in batch])[:, None]
    known = ~labels.isnan()
    target = labels.nan_to_num() * (1 - 2 * SMOOTHING) + SMOOTHING
    raw = nn.functional.binary_cross_entropy_with_logits(
        model(ids, mask), target, reduction="none", pos_weight=torch.tensor(POSITIVE_WEIGHT)
    )
    return (raw * weights * known).sum() / len(batch)


def train(examples: Sequence[Example], *, epochs: int, seed: int, rate: float, out: Path) -> None:
    """Run the whole recipe and write the averaged weights after every epoch."""
    torch.manual_seed(seed)
    rng = random.Random(seed)  # noqa: S311 - a reproducible order, not secrets
    tokenizer = load_tokenizer()
    tokens = [e.ids for e in tokenizer.encode_batch([x.text[:20_000] for x in examples], add_special_tokens=False)]
    model = MultiTask(load_minilm())
    nn.init.normal_(model.heads.outer, std=0.05)
    start = {name: value.clone() for name, value in model.named_parameters()}
    adapt(model, seed)
    start = {
        name: start[name.replace(".base", "")]
        for name, p in model.named_parameters()
        if name.replace(".base", "") in start
    }
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    averaged = {name: p.detach().clone() for name, p in trained.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=rate, weight_decay=0.01)
    plan = [batches(examples, tokens, rng) for _ in range(epochs)]
    total, done, begun, mean = sum(map(len, plan)), 0, time.monotonic(), 0.0
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total, pct_start=0.08, div_factor=10)
    model.train()
    for epoch in plan:
        for batch in epoch:
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()  # type: ignore[no-untyped-call] # torch has no types for it
            nn.utils.clip_grad_norm_(trained.values(), 1.0)
            optimizer.step()
            scheduler.step()
            done += 1
            decay = min(0.998, done / (done + 20))
            for name, p in trained.items():
                averaged[name].lerp_(p.detach(), 1 - decay)
            mean += (loss.item() - mean) * max(0.02, 1 / done)
            if done % 25 == 0:
                spent = time.monotonic() - begun
                _say(f"step {done}/{total} loss {mean:.4f} {spent:.0f} s, {spent / done * (total - done):.0f} s left")
        save_file(delta(averaged, start), out)
        _say(f"wrote {out}, SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train.encoder", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--out", type=Path, default=ENCODER_PATH)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=None, help="train on this many examples only, to try the recipe")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    examples = [e for e in load_examples(options.data, options.seed) if e.split == "train"]
    random.Random(options.seed).shuffle(examples)  # noqa: S311 - a reproducible order
    train(examples[: options.limit], epochs=options.epochs, seed=options.seed, rate=options.rate, out=options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
