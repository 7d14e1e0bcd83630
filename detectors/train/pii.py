"""Train the PII token head: ``python -m detectors.train.pii --data ../shared/data``.

Writes ``detectors/weights/pii.safetensors`` with a record beside it (``.json``: seed, counts, digests of what was read) and
prints the digest, to be pinned in `detectors.models.weight_files`. A run that was cut goes on from its checkpoint (safetensors too).
"""

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from detectors.models.minilm import load_minilm, load_tokenizer
from detectors.models.weight_files import MINILM_DIGEST, PII_PATH
from detectors.pii.token_head import KINDS, TokenHead, row
from detectors.pii.tokens import Tokens, encode
from detectors.train.pii_texts import Labelled, texts

__all__ = ["main", "train"]

TOKENS_A_BATCH = 1400
#: Sentences with entities, and without, of a whole run.
POSITIVES, NEGATIVES = 16_000, 8_000
RATE, WEIGHT_DECAY = 3e-3, 0.01
#: Share of words that are hidden while learning, so that the surroundings must do; and of vector elements.
HIDDEN_WORDS, DROPPED = 0.06, 0.1
UNKNOWN = 100
CHECKPOINT_EVERY = 50
READ = ("drift/clinc_data_full.json.gz", "hallucination/halueval_general.jsonl.gz")
Item = tuple[list[int], list[int], list[int]]


def labels_of(tokens: Tokens, spans: Sequence[tuple[int, int, str]]) -> list[int]:
    """Return the class of each token: 0 outside, ``1 + 2k`` where a span of kind k begins, ``2 + 2k`` inside it."""
    found = np.zeros(len(tokens.ids), dtype=np.int64)
    for start, end, kind in spans:
        inside = np.flatnonzero((tokens.starts < end) & (tokens.ends > start))
        found[inside] = 2 + 2 * KINDS.index(kind)
        found[inside[:1]] -= 1
    return [int(value) for value in found]


def items(examples: Sequence[Labelled], model_dir: str | None = None) -> list[Item]:
    """Return ids, shapes and classes of each text."""
    tokenized = encode(load_tokenizer(model_dir), [example.text for example in examples])
    return [
        (tokens.ids, tokens.shapes.tolist(), labels_of(tokens, example.spans))
        for tokens, example in zip(tokenized, examples, strict=True)
        if tokens.ids
    ]


def batches(rows: Sequence[Item], rng: random.Random) -> list[list[Item]]:
    """Cut one epoch, in random order, into batches of about `TOKENS_A_BATCH` tokens."""
    result: list[list[Item]] = [[]]
    length = 0
    for item in rng.sample(rows, len(rows)):
        if length > TOKENS_A_BATCH:
            result.append([])
            length = 0
        result[-1].append(item)
        length += len(item[0])
    return result


class _Run:
    """A head with its optimiser and averaged weights, which can be put down and taken up again."""

    def __init__(self, steps: int, seed: int, checkpoint: Path) -> None:
        torch.manual_seed(seed)
        self.words = load_minilm().words.weight
        self.head = TokenHead()
        nn.init.normal_(self.head.shapes.weight, std=0.02)
        self.checkpoint, self.done, self.steps = checkpoint, 0, steps
        self.trained = dict(self.head.named_parameters())
        self.optimizer = torch.optim.AdamW(self.trained.values(), lr=RATE, weight_decay=WEIGHT_DECAY)
        self.averaged = {n: p.detach().clone() for n, p in self.trained.items()}

    def loss(self, batch: Sequence[Item], generator: torch.Generator) -> Tensor:
        """Return the mean cross-entropy of a batch's tokens, some words hidden."""
        ids, shapes, real, starts = row([item[0] for item in batch], [item[1] for item in batch])
        classes = torch.full((len(ids),), -100)
        for start, item in zip(starts, batch, strict=True):
            classes[start : start + len(item[2])] = torch.tensor(item[2])
        ids[torch.rand(len(ids), generator=generator) < HIDDEN_WORDS] = UNKNOWN
        vectors = self.head.project(
            self.words[ids] * (torch.rand(len(ids), self.words.shape[1], generator=generator) >= DROPPED)
        )
        return nn.functional.cross_entropy(self.head(vectors / (1 - DROPPED), shapes, real), classes, ignore_index=-100)

    def step(self, batch: Sequence[Item], seed: int) -> float:
        """Learn one batch: the rate rises over 6 % of the steps and falls linearly to nothing."""
        self.done += 1
        warm = max(1.0, 0.06 * self.steps)
        scale = min(self.done / warm, max(0.0, (self.steps - self.done) / (self.steps - warm)))
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * scale
        self.optimizer.zero_grad()
        loss = self.loss(batch, torch.Generator().manual_seed(seed * 1_000_003 + self.done))
        loss.backward()  # type: ignore[no-untyped-call] # torch has no types for it
        nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.optimizer.step()
        decay = min(0.99, self.done / (self.done + 20))
        for name, p in self.trained.items():
            self.averaged[name].lerp_(p.detach(), 1 - decay)
        return float(loss.item())

    def put_down(self, task: str) -> None:
        """Write everything that going on needs, at once or not at all."""
        state = {f"now.{n}": p.detach() for n, p in self.trained.items()} | {
            f"mean.{n}": p for n, p in self.averaged.items()
        }
        for name, p in self.trained.items():
            moments = self.optimizer.state[p]
            state |= {f"first.{name}": moments["exp_avg"], f"second.{name}": moments["exp_avg_sq"]}
        part = self.checkpoint.with_suffix(".part")
        save_file(
            {n: v.contiguous() for n, v in state.items()} | {"done": torch.tensor([self.done])}, part, {"task": task}
        )
        part.replace(self.checkpoint)

    def take_up(self, task: str) -> None:
        """Go on from a checkpoint of the same task, if there is one."""
        if not self.checkpoint.exists() or _task_of(self.checkpoint) != task:
            return
        state = load_file(self.checkpoint)
        self.done = int(state["done"])
        with torch.no_grad():
            for name, p in self.trained.items():
                p.copy_(state[f"now.{name}"])
                self.averaged[name].copy_(state[f"mean.{name}"])
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(self.done)),
                    "exp_avg": state[f"first.{name}"],
                    "exp_avg_sq": state[f"second.{name}"],
                }


def _task_of(checkpoint: Path) -> str:
    from safetensors import safe_open  # noqa: PLC0415 - for this only

    with safe_open(checkpoint, "pt") as file:
        return str((file.metadata() or {}).get("task", ""))


def train(  # noqa: PLR0913 - a recipe's settings
    data: Path,
    out: Path,
    seed: int = 0,
    *,
    positives: int = POSITIVES,
    negatives: int = NEGATIVES,
    epochs: int = 2,
    say: Callable[[str], None] = lambda line: print(line, flush=True),  # noqa: T201 - the command's progress
) -> str:
    """Run the whole recipe, write weights and their record, and return the SHA-256 of the weights.

    Parameters
    ----------
    data
        Folder laid out like shared/data; only ordinary questions are read from it, as negatives.
    out
        Where the weights go; ``.json`` and, while it runs, ``.checkpoint`` beside it.
    seed
        Of the sentences, their order and the initial weights.
    positives, negatives, epochs
        Sentences with entities, without, and how often each is seen.
    say
        Takes a line of progress.
    """
    record = {
        "detector": "pii", "kinds": list(KINDS), "seed": seed, "positives": positives, "negatives": negatives,
        "epochs": epochs, "faker": version("faker"), "base": MINILM_DIGEST,
        "data": {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in READ},
    }  # fmt: skip
    task = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    rows = items(texts(data, positives, negatives, seed))
    rng = random.Random(seed)  # noqa: S311 - a reproducible order, not secrets
    plan = [batch for _ in range(epochs) for batch in batches(rows, rng)]
    run = _Run(len(plan), seed, out.with_suffix(".checkpoint"))
    run.take_up(task)
    say(f"{len(rows)} texts, {len(plan)} steps, {run.done} done before")
    begun, before, mean = time.monotonic(), run.done, 0.0
    for batch in plan[run.done :]:
        loss = run.step(batch, seed)
        new = run.done - before
        mean += (loss - mean) * max(0.02, 1 / new)
        if run.done % CHECKPOINT_EVERY == 0:
            run.put_down(task)
            spent = time.monotonic() - begun
            left = spent / new * (len(plan) - run.done)
            say(f"step {run.done}/{len(plan)} loss {mean:.4f} {spent:.0f} s, {left:.0f} s left")
    save_file({name: value.half().contiguous() for name, value in run.averaged.items()}, out)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    out.with_suffix(".json").write_text(
        json.dumps(record | {"sha256": digest, "loss": round(mean, 4)}, indent=1) + "\n", encoding="utf-8"
    )
    run.checkpoint.unlink(missing_ok=True)
    say(f"wrote {out}, SHA-256 {digest}: pin it in detectors/pinned.py")
    return digest


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train.pii", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--out", type=Path, default=PII_PATH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--positives", type=int, default=POSITIVES)
    parser.add_argument("--negatives", type=int, default=NEGATIVES)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    train(
        options.data,
        options.out,
        seed=options.seed,
        positives=options.positives,
        negatives=options.negatives,
        epochs=options.epochs,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
