"""Train the shared encoder: ``python -m detectors.train.encoder --data ../shared/data``.

Writes ``detectors/weights/encoder.safetensors`` and prints its digest, to be pinned in `detectors.models.weight_files`. A run that was
cut goes on from its checkpoint when the same command is given again.

The recipe: every matrix of the six layers gets a low-rank change (LoRA, arXiv 2106.09685), biases and norms are trained
too, word vectors stay. Sources are balanced by their caps (`detectors.train.datasets.SOURCES`). Texts that name a group are
paired with a copy that names another, and the two logits are pulled together (counterfactual logit pairing, Garg et al.,
arXiv 1809.10610) instead of being given template labels. What is kept is the exponential average of the weights. A run that
goes on from earlier weights to learn one task holds the others near what those weights said (``--hold``; learning without
forgetting, Li and Hoiem, arXiv 1606.09282).
"""

import argparse
import copy
import hashlib
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from detectors.models.minilm import load_minilm, load_tokenizer, pad
from detectors.models.multitask import CATEGORIES, OUTPUTS, MultiTask, merge
from detectors.models.token_windows import CLS, SEP, WINDOW
from detectors.models.weight_files import ENCODER_PATH
from detectors.normalise.disguise import spoken
from detectors.train.contrast import swap
from detectors.train.datasets import load_examples, refreshed
from detectors.train.example import Example, Labels
from detectors.train.lowrank import adapt, delta

__all__ = ["STEPS", "main", "train"]

TOKENS_A_BATCH, ROWS_A_BATCH, SHORT = 1280, 48, 56
POSITIVE_WEIGHT = (1.0, 1.5, 3.0, 1.0, 2.0, 2.0, 2.0, 3.0)
OUTPUT_WEIGHT = (1.0, 1.0, 1.0, *(0.4 for _ in CATEGORIES))
RATE = 6e-4
STEPS = 1700
SMOOTHING, PAIRING, PAIRED, HOLDING = 0.02, 0.15, 0.5, 0.1
WARM_UP, DECAY_FROM, AVERAGE = 0.06, 0.6, 0.995
EVERY, THREADS = 20, 2


class Item(NamedTuple):
    """A window of a text, perhaps with its twin that names another group."""

    rows: list[list[int]]
    labels: Labels
    weight: float


def windows(tokens: list[int], example: Example, rng: random.Random) -> Iterator[tuple[list[int], float]]:
    """Yield the windows of a text to train on this epoch: its beginning, and for long ones sometimes another part.

    Many beginnings are cut to `SHORT`, which costs half. A positive's later windows may be innocent, so they weigh less.
    """
    full = 1.0 in example.labels[:2] or rng.random() < 0.4
    yield tokens[: WINDOW if full else SHORT], 1.0
    if len(tokens) > WINDOW + 20 and rng.random() < 0.3:
        start = rng.randrange(20, len(tokens) - 20)
        yield tokens[start : start + WINDOW], 0.25 if 1.0 in example.labels[:3] else 1.0


def batches(
    examples: Sequence[Example], tokens: Sequence[list[int]], twins: Sequence[list[int]], rng: random.Random
) -> list[list[Item]]:
    """Cut one epoch into batches of similar length and equal cost, in random order."""
    items: list[Item] = []
    for example, ids, twin in zip(examples, tokens, twins, strict=True):
        paired = twin and rng.random() < PAIRED and max(len(ids), len(twin)) <= WINDOW
        for window, factor in windows(ids, example, rng):
            rows = [window, twin] if paired else [window]
            items.append(Item([[CLS, *row, SEP] for row in rows], example.labels, example.weight * factor))
    items.sort(key=lambda item: (max(map(len, item.rows)) + rng.random() * 4, rng.random()))
    result: list[list[Item]] = [[]]
    for item in items:
        count = sum(len(other.rows) for other in result[-1]) + len(item.rows)
        if count > ROWS_A_BATCH or count * max(map(len, item.rows)) > TOKENS_A_BATCH:
            result.append([])
        result[-1].append(item)
    rng.shuffle(result)
    return result


def _logits(model: MultiTask, ids: Tensor, mask: Tensor) -> Tensor:
    # Flash attention's backward pass costs a quarter of a step at these lengths; the plain one far less.
    with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
        hidden = model.backbone(ids, mask)
    logits: Tensor = model.heads(hidden.float(), mask)
    return logits


def loss_of(
    model: MultiTask, batch: Sequence[Item], before: MultiTask | None = None, held: Sequence[int] = ()
) -> Tensor:
    """Weighted cross-entropy over the labels that are known, and two squared gaps.

    Between the logits of twins; and, in the outputs that are ``held``, from the logits of the model ``before``.
    """
    ids, mask = pad([row for item in batch for row in item.rows])
    flat = [item for item in batch for _ in item.rows]
    labels = torch.tensor([item.labels for item in flat])
    weights = torch.tensor([item.weight / len(item.rows) for item in flat])[:, None]
    logits = _logits(model, ids, mask)
    raw = nn.functional.binary_cross_entropy_with_logits(
        logits,
        labels.nan_to_num() * (1 - 2 * SMOOTHING) + SMOOTHING,
        reduction="none",
        pos_weight=torch.tensor(POSITIVE_WEIGHT),
    )
    total = (raw * weights * ~labels.isnan() * torch.tensor(OUTPUT_WEIGHT)).sum()
    firsts = [index for index in range(len(flat) - 1) if flat[index] is flat[index + 1]]
    if firsts:
        here = torch.tensor(firsts)
        total = total + PAIRING * (logits[here] - logits[here + 1])[:, [0, 3]].square().sum()
    if before is not None:
        with torch.no_grad():
            said = _logits(before, ids, mask)
        total = total + HOLDING * ((logits - said)[:, list(held)].square() * weights).sum()
    return total / len(batch)


def pace(step: int, total: int) -> float:
    """Return the share of the peak rate: linear warm-up, a plateau, a linear decay to a twentieth."""
    done = step / total
    if done < WARM_UP:
        return max(0.05, done / WARM_UP)
    return 1.0 if done < DECAY_FROM else 1.0 - 0.95 * (done - DECAY_FROM) / (1 - DECAY_FROM)


class Run:
    """The model under training, its average, and the checkpoint that a cut run goes on from."""

    def __init__(self, out: Path, seed: int, rate: float, warm: dict[str, Tensor], hold: Sequence[str] = ()) -> None:
        torch.manual_seed(seed)
        self.model, self.warm = MultiTask(load_minilm()), warm
        nn.init.normal_(self.model.heads.outer, std=0.05)
        merge(self.model, {name: value for name, value in warm.items() if not name.startswith("heads.")})
        with torch.no_grad():
            for name, p in self.model.heads.named_parameters():
                kept = warm.get(f"heads.{name}", p[:0])  # of fewer outputs: the first ones
                p[: len(kept)] = kept.float()
        before = {name: value.clone() for name, value in self.model.named_parameters()}
        self.held = [index for index, output in enumerate(OUTPUTS) if output in hold]
        self.before = copy.deepcopy(self.model).requires_grad_(requires_grad=False) if hold else None
        adapt(self.model, seed)
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.start = {name: before[base] for name in self.trained if (base := name.replace(".base", "")) in before}
        self.averaged = {name: p.detach().clone() for name, p in self.trained.items()}
        self.optimizer = torch.optim.AdamW(self.trained.values(), lr=rate, weight_decay=0.01)
        self.rate, self.done, self.out = rate, 0, out
        self.checkpoint = out.with_suffix(".checkpoint.safetensors")
        self.model.train()

    def step(self, batch: Sequence[Item], total: int, pool: ThreadPoolExecutor) -> float:
        """Take one step; the batch is shared among threads, each on a part (faster than threads inside each operation)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * pace(self.done, total)
        parts = [batch[index::THREADS] for index in range(THREADS) if batch[index::THREADS]]
        values = list(self.trained.values())

        def gradients(part: Sequence[Item]) -> tuple[float, tuple[Tensor, ...]]:
            loss = loss_of(self.model, part, self.before, self.held) * (len(part) / len(batch))
            return loss.item(), torch.autograd.grad(loss, values)

        found = list(pool.map(gradients, parts))
        for index, value in enumerate(values):
            value.grad = sum((grads[index] for _, grads in found[1:]), found[0][1][index])
        nn.utils.clip_grad_norm_(values, 1.0)
        self.optimizer.step()
        self.done += 1
        decay = min(AVERAGE, self.done / (self.done + 20))
        for name, p in self.trained.items():
            self.averaged[name].lerp_(p.detach(), 1 - decay)
        return sum(loss for loss, _ in found)

    def save(self) -> None:
        """Write the weights so far, and everything that going on needs."""
        state = {"done": torch.tensor(self.done)}
        for name, p in self.trained.items():
            moments = self.optimizer.state[p]
            state |= {f"value.{name}": p.detach(), f"average.{name}": self.averaged[name]}
            state |= {f"first.{name}": moments["exp_avg"], f"second.{name}": moments["exp_avg_sq"]}
        partial = self.checkpoint.with_suffix(".partial")
        save_file(state, partial)
        partial.replace(self.checkpoint)
        save_file(delta(self.averaged, self.start, self.warm), self.out)

    def resume(self, say: Callable[[str], None]) -> None:
        """Go on from the checkpoint, where there is one."""
        if not self.checkpoint.exists():
            return
        state = load_safetensors(self.checkpoint.read_bytes())
        self.done = int(state["done"])
        with torch.no_grad():
            for name, p in self.trained.items():
                p.copy_(state[f"value.{name}"])
                self.averaged[name] = state[f"average.{name}"].clone()
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(self.done)),
                    "exp_avg": state[f"first.{name}"].clone(),
                    "exp_avg_sq": state[f"second.{name}"].clone(),
                }
        say(f"goes on after step {self.done}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def train(  # noqa: PLR0913 - the options of the recipe
    data: Path,
    out: Path,
    seed: int,
    *,
    steps: int = STEPS,
    rate: float = RATE,
    warm: Path | None = None,
    hold: Sequence[str] = (),
    say: Callable[[str], None] = _say,
) -> str:
    """Run the whole recipe and return the SHA-256 of the weights.

    Parameters
    ----------
    data
        A folder laid out like shared/data.
    out
        The safetensors file to write; the checkpoint lies beside it until the end.
    steps
        Batches of at most 1,280 tokens; about 1,700 are one pass over everything.
    rate
        The highest learning rate.
    warm
        Weights of an earlier run to start from, instead of all-MiniLM-L6-v2 as it is; sources are then mixed as
        `detectors.train.datasets.REFRESH` says.
    hold
        Outputs (`detectors.models.multitask.OUTPUTS`) that are held near what ``warm`` says of the same texts.
    say
        Takes a line of progress.
    """
    if hold and not warm:
        raise ValueError(f"hold is {list(hold)} without warm: name the weights that they are to stay near")
    torch.set_num_threads(1)
    examples = [e for e in load_examples(data, seed) if e.split == "train"]
    if warm:
        examples = refreshed(examples, seed)
    rng = random.Random(seed)  # noqa: S311 - a reproducible order, not secrets
    rng.shuffle(examples)
    texts = [spoken(example.text[:20_000]) for example in examples]
    swapped = [swap(text, rng) if len(text) < 400 else None for text in texts]
    tokenizer = load_tokenizer()
    tokens = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    twins = [e.ids for e in tokenizer.encode_batch([text or "" for text in swapped], add_special_tokens=False)]
    run = Run(out, seed, rate, load_safetensors(warm.read_bytes()) if warm else {}, hold)
    run.resume(say)
    plan: list[list[Item]] = []
    while len(plan) < steps:
        plan += batches(examples, tokens, twins, rng)
        say(f"{len(examples)} examples, {sum(map(bool, twins))} with twins: {len(plan)} batches planned, {steps} run")
    begun, first, mean = time.monotonic(), run.done, 0.0
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in plan[run.done : steps]:
            loss = run.step(batch, steps, pool)
            mean += (loss - mean) * max(0.02, 1 / (run.done - first))
            if run.done % EVERY == 0:
                run.save()
                each = (time.monotonic() - begun) / (run.done - first)
                say(
                    f"step {run.done}/{steps} loss {mean:.4f} {each:.2f} s a step, {each * (steps - run.done):.0f} s left"
                )
    run.save()
    run.checkpoint.unlink()
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    say(f"wrote {out}, SHA-256 {digest}")
    return digest


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train.encoder", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--out", type=Path, default=ENCODER_PATH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--warm", type=Path, default=None, help="weights of an earlier run to start from")
    parser.add_argument("--hold", nargs="*", choices=OUTPUTS, default=(), help="outputs to hold near what --warm says")
    options = parser.parse_args(arguments)
    train(
        options.data,
        options.out,
        options.seed,
        steps=options.steps,
        rate=options.rate,
        warm=options.warm,
        hold=options.hold,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
