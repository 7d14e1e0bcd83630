"""Training of the encoder that the toxicity, injection and refusal detectors share.

Every matrix of the six layers gets a low-rank adapter (LoRA, arXiv 2106.09685). Biases and norms are trained too, word
vectors are not. Sources are balanced (`detectors.evaluate.public_sets.SOURCES`). A text that names a group of people is
paired with a copy that names another group, and a loss penalises the difference of their logits (counterfactual logit
pairing, Garg et al., arXiv 1809.10610). Tokens of other rows are dropped at random (word dropout, Iyyer et al., ACL 2015,
10.3115/v1/P15-1162). The result is the exponential moving average of the weights.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from detectors.errors import DataError
from detectors.evaluate.datasets import SHIPPED_SEED
from detectors.evaluate.examples import Example, Labels
from detectors.models.minilm import MiniLM, load_minilm, load_tokenizer, pad
from detectors.models.multitask import CATEGORIES, MultiTask, merge, pooled
from detectors.models.token_windows import CLS, SEP, WINDOW
from detectors.normalise.disguise import spoken
from detectors.toml_files import read_toml
from detectors.train.averaged_training import AveragedTraining, Log
from detectors.train.lowrank import adapt, delta
from detectors.train.mixes import load_examples, sample_mixture
from detectors.train.toxicity_texts import swap_group

#: Source → mean copies of each of its texts in a run.
MIXTURE = read_toml("detectors.train", "mixture.toml", dict[str, float])
TOKENS_A_BATCH, ROWS_A_BATCH, SHORT = 1280, 48, 56
POSITIVE_WEIGHT = (1.0, 1.5, 3.0, 1.0, 2.0, 2.0, 2.0, 3.0, 1.0)
OUTPUT_WEIGHT = (1.0, 1.0, 1.0, *(0.4 for _ in CATEGORIES), 1.0)
RATE, STEPS = 6e-4, 1700
#: Ranks of the trained change of each matrix, and of the adapter.
RANK, KEPT = 32, 96
SMOOTHING, PAIRING, PAIRED = 0.02, 0.15, 0.5
#: Share of the tokens that are dropped from a row, so that a text that is read several times is not memorised.
DROPPED = 0.15
WARM_UP, DECAY_FROM, AVERAGE = 0.06, 0.6, 0.995
EVERY, THREADS = 20, 2


class Item(NamedTuple):
    """One or two rows of token ids: a window of a text, and perhaps a copy of the text that names another group."""

    rows: list[list[int]]
    labels: Labels
    weight: float


def windows(tokens: list[int], example: Example, rng: random.Random) -> Iterator[tuple[list[int], float]]:
    """Yield windows of a text and their weights: its beginning, and for a long text sometimes another part.

    Many beginnings are cut to `SHORT` tokens, which halves the training time. A later window of a positive text may be
    harmless, so its weight is lower.
    """
    full = 1.0 in example.labels[:2] or rng.random() < 0.4
    yield tokens[: WINDOW if full else SHORT], 1.0
    if len(tokens) > WINDOW + 20 and rng.random() < 0.3:
        start = rng.randrange(20, len(tokens) - 20)
        yield tokens[start : start + WINDOW], 0.25 if 1.0 in example.labels[:3] else 1.0


def batches(
    examples: Sequence[Example], tokens: Sequence[list[int]], counterfactuals: Sequence[list[int]], rng: random.Random
) -> list[list[Item]]:
    """Divide the examples of one epoch into batches of texts with similar length, in random order."""
    items: list[Item] = []
    for example, ids, other in zip(examples, tokens, counterfactuals, strict=True):
        paired = other and rng.random() < PAIRED and max(len(ids), len(other)) <= WINDOW
        for window, factor in windows(ids, example, rng):
            rows = [window, other] if paired else [[token for token in window if rng.random() >= DROPPED] or window]
            items.append(Item([[CLS, *row, SEP] for row in rows], example.labels, example.weight * factor))
    items.sort(key=lambda item: (max(map(len, item.rows)) + rng.random() * 4, rng.random()))
    result: list[list[Item]] = [[]]
    for item in items:
        count = sum(len(one.rows) for one in result[-1]) + len(item.rows)
        if count > ROWS_A_BATCH or count * max(map(len, item.rows)) > TOKENS_A_BATCH:
            result.append([])
        result[-1].append(item)
    rng.shuffle(result)
    return result


def _logits(model: MultiTask, ids: Tensor, mask: Tensor) -> Tensor:
    # At these lengths, plain attention is faster than flash attention.
    with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
        hidden = model.backbone(ids, mask)
    logits: Tensor = model.heads(pooled(hidden.float(), mask))
    return logits


def _penalty(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the sum of the weighted cross-entropy of the known labels; unknown ``labels``, (n, outputs), are NaN."""
    raw = nn.functional.binary_cross_entropy_with_logits(
        logits,
        labels.nan_to_num() * (1 - 2 * SMOOTHING) + SMOOTHING,
        reduction="none",
        pos_weight=torch.tensor(POSITIVE_WEIGHT),
    )
    total: Tensor = (raw * weights[:, None] * ~labels.isnan() * torch.tensor(OUTPUT_WEIGHT)).sum()
    return total


def loss_of(model: MultiTask, batch: Sequence[Item]) -> Tensor:
    """Return the loss of a batch.

    The loss is the weighted cross-entropy of the known labels, plus the squared difference between the logits of a text
    and of its copy with another group.
    """
    ids, mask = pad([row for item in batch for row in item.rows])
    flat = [item for item in batch for _ in item.rows]
    labels = torch.tensor([item.labels for item in flat])
    weights = torch.tensor([item.weight / len(item.rows) for item in flat])
    logits = _logits(model, ids, mask)
    total = _penalty(logits, labels, weights)
    firsts = [index for index in range(len(flat) - 1) if flat[index] is flat[index + 1]]
    if firsts:
        here = torch.tensor(firsts)
        total = total + PAIRING * (logits[here] - logits[here + 1])[:, [0, 3]].square().sum()
    return total / len(batch)


def pace(step: int, total: int) -> float:
    """Return the learning rate as a share of its maximum: linear warm-up, constant, linear decay to a twentieth."""
    done = step / total
    if done < WARM_UP:
        return max(0.05, done / WARM_UP)
    return 1.0 if done < DECAY_FROM else 1.0 - 0.95 * (done - DECAY_FROM) / (1 - DECAY_FROM)


def _prepared(warm: dict[str, Tensor], seed: int) -> MultiTask:
    """Return the model with the earlier weights ``warm``, in which adapters, biases, norms and heads are marked for training."""
    torch.manual_seed(seed)
    model = MultiTask(load_minilm())
    nn.init.normal_(model.heads.outer, std=0.05)
    merge(model, {name: value for name, value in warm.items() if name.endswith((".a", ".b", ".shift"))})
    with torch.no_grad():
        for name, p in model.heads.named_parameters():
            kept = warm.get(f"heads.{name}", p[:0])  # earlier weights may have fewer outputs
            p[: len(kept)] = kept.float()
    assert isinstance(model.backbone, MiniLM)  # as it is loaded for training
    adapt(model.backbone.layers, RANK, seed)
    for p in model.backbone.layers.parameters():
        p.requires_grad |= p.ndim == 1  # biases and norms
    return model.train()


def _set_gradients(model: MultiTask, values: Sequence[nn.Parameter], batch: Sequence[Item], pool: Executor) -> float:
    """Set the gradients of ``values`` and return the loss of a batch in `THREADS` parts.

    A thread per part is faster than threads in each torch operation.
    """
    parts = [batch[index::THREADS] for index in range(THREADS) if batch[index::THREADS]]

    def gradients(part: Sequence[Item]) -> tuple[float, tuple[Tensor, ...]]:
        loss = loss_of(model, part) * (len(part) / len(batch))
        return loss.item(), torch.autograd.grad(loss, values)

    found = list(pool.map(gradients, parts))
    for index, value in enumerate(values):
        value.grad = sum((grads[index] for _, grads in found[1:]), found[0][1][index])
    return sum(loss for loss, _ in found)


def train(  # noqa: PLR0913 - the options of the recipe
    data: Path,
    out: Path,
    seed: int,
    *,
    log: Log,
    steps: int = STEPS,
    rate: float = RATE,
    warm: Path | None = None,
    without: Sequence[str] = (),
) -> None:
    """Train the shared encoder and write its weights to ``out``.

    The texts and their splits are those of `SHIPPED_SEED`, because the shipped linear model, which scores each text first, learned this train
    split. ``seed`` selects the order, the mixture and the initial weights.
    A step is one batch of at most 1,280 tokens; about 5,000 steps read the texts of `MIXTURE` once. ``warm`` is a file with weights
    of an earlier run to start from. The run reads no text of the sources ``without``, to measure how well the others replace them.
    Raises DataError if a source of ``without`` has no training texts.
    """
    torch.set_num_threads(1)
    examples = [e for e in load_examples(data, SHIPPED_SEED) if e.split == "train"]
    if unknown := set(without) - {e.source for e in examples}:
        raise DataError(
            f"no training text of the sources {sorted(unknown)}; known: {sorted({e.source for e in examples})}"
        )
    examples = sample_mixture([e for e in examples if e.source not in without], seed, MIXTURE, 1.0)
    rng = random.Random(seed)
    rng.shuffle(examples)
    plan = _plan(examples, steps, rng, log)
    before = hashlib.sha256(warm.read_bytes()).hexdigest() if warm else ""
    task = hashlib.sha256(repr((plan[:steps], seed, rate, before)).encode()).hexdigest()
    earlier = load_file(warm) if warm else {}
    model = _prepared(earlier, seed)
    training = AveragedTraining(model, out, average=AVERAGE, task=task)

    def step(batch: Sequence[Item]) -> float:
        loss = _set_gradients(model, list(training.parameters.values()), batch, pool)
        training.step(rate * pace(training.done, steps))
        return loss

    with ThreadPoolExecutor(THREADS) as pool:
        training.run(plan[:steps], step, log, every=EVERY)
    save_file(delta(training, earlier, KEPT), out)
    training.finish()


def _plan(examples: Sequence[Example], steps: int, rng: random.Random, log: Log) -> list[list[Item]]:
    """Return at least ``steps`` batches, from as many epochs as necessary."""
    texts = [spoken(example.text[:20_000]) for example in examples]
    swapped = [swap_group(text, rng) if len(text) < 400 else None for text in texts]
    tokenizer = load_tokenizer()
    tokens = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    counterfactuals = [
        e.ids for e in tokenizer.encode_batch([text or "" for text in swapped], add_special_tokens=False)
    ]
    plan: list[list[Item]] = []
    while len(plan) < steps:
        plan += batches(examples, tokens, counterfactuals, rng)
    paired = sum(map(bool, counterfactuals))
    log(f"{len(examples)} examples, {paired} with another group: {len(plan)} batches planned, {steps} run")
    return plan
