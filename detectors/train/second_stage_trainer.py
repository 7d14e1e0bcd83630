"""Training of injection's second stage (`detectors.models.second_stage`).

Every matrix of the layers gets a low-rank adapter (LoRA, arXiv 2106.09685); norms and word vectors are not trained. Tokens are dropped
at random (word dropout, Iyyer et al., ACL 2015, 10.3115/v1/P15-1162). The result is the exponential moving average of the weights.
"""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from detectors.evaluate.examples import Example
from detectors.models.compute import best_precision
from detectors.models.multitask import OUTPUTS as ENCODER_OUTPUTS
from detectors.models.multitask import merge
from detectors.models.second_stage import OUTPUTS, WINDOW, Rows, SecondStage, pad_rows
from detectors.models.smollm import load_smollm
from detectors.toml_files import read_toml
from detectors.train.averaged_training import AveragedTraining, Log
from detectors.train.encoder_trainer import pace
from detectors.train.lowrank import adapt, delta
from detectors.train.mixes import load_examples, sample_mixture
from detectors.train.written_texts import guarded_scenarios

MIXTURE = read_toml("detectors.train", "second_stage_mixture.toml", dict[str, float])
ROWS_A_BATCH, TOKENS_A_BATCH, SORTED_BATCHES = 32, 2048, 50
RANK, KEPT = 16, 32
RATE, STEPS = 6e-4, 2000
SMOOTHING, DROPPED, AVERAGE = 0.02, 0.1, 0.995
#: Weight of the output ``secret`` in the loss of a text without a system prompt.
SECRET_WEIGHT = 0.3
#: Harmless prompts of other sources beside each system prompt, and these sources.
OTHERS = 8
PROMPTS = (
    "written_turn",
    "written_task",
    "written_lookalike",
    "written_short",
    "t0_prompt",
    "wildguard",
    "clinc",
    "halueval_question",
)
EVERY = 20


class Sample(NamedTuple):
    """The token ids of a window and of the system prompt before it, if any; and the label of each of `OUTPUTS`: 0, 1 or NaN (unknown)."""

    text: list[int]
    labels: tuple[float, ...]
    system: Sequence[int] = ()

    @property
    def tokens(self) -> int:
        """The number of tokens of both."""
        return len(self.text) + len(self.system)


def batches(samples: Sequence[Sample], rng: random.Random) -> list[list[Sample]]:
    """Divide the samples of one epoch, in random order, into batches of samples with similar length."""
    order = rng.sample(samples, len(samples))
    span = ROWS_A_BATCH * SORTED_BATCHES
    result: list[list[Sample]] = []
    for start in range(0, len(order), span):
        found: list[list[Sample]] = [[]]
        for sample in sorted(order[start : start + span], key=lambda sample: sample.tokens):
            batch = found[-1]
            if len(batch) == ROWS_A_BATCH or (len(batch) + 1) * sample.tokens > TOKENS_A_BATCH:
                found.append(batch := [])
            batch.append(sample)
        result += rng.sample(found, len(found))
    return [batch for batch in result if batch]


def _samples(examples: Sequence[Example], rows: Rows, rng: random.Random) -> list[Sample]:
    """Return a window of each text: its beginning, or for a long harmless text at random another part."""
    places = [ENCODER_OUTPUTS.index(name) for name in OUTPUTS]
    samples = []
    for example, tokens in zip(examples, rows.encode([e.text[:20_000] for e in examples]), strict=True):
        labels = tuple(
            example.labels[place] if example.labels[place] in (0.0, 1.0) else float("nan") for place in places
        )
        spare = len(tokens) - WINDOW
        start = rng.randrange(spare) if spare > 0 and labels[0] == 0.0 and rng.random() < 0.3 else 0
        if ids := tokens[start : start + WINDOW]:
            samples.append(Sample(ids, labels))
    return samples


def _paired(prompts: Sequence[str], rows: Rows, rng: random.Random) -> list[Sample]:
    """Return requests beside a system prompt with a secret, of which only `secret` is known; also harmless ``prompts`` beside them."""
    samples = []
    for one in guarded_scenarios("train"):
        others = rng.sample(prompts, min(OTHERS, len(prompts)))
        system = rows.system(one.system)
        for label, texts in ((1.0, one.asks), (0.0, one.fine), (0.0, others)):
            samples += [Sample(ids[:WINDOW], (float("nan"), label), system) for ids in rows.encode(texts) if ids]
    return samples


def loss_of(model: SecondStage, rows: Rows, batch: Sequence[Sample], rng: random.Random) -> Tensor:
    """Return the mean cross-entropy of the known labels of a batch, with word dropout."""

    def dropped(ids: Sequence[int]) -> Sequence[int]:
        return [token for token in ids if rng.random() >= DROPPED] or ids

    inputs = pad_rows([rows.row(dropped(sample.text), dropped(sample.system)) for sample in batch])
    labels = torch.tensor([sample.labels for sample in batch])
    weights = torch.tensor([(1.0, 1.0 if sample.system else SECRET_WEIGHT) for sample in batch])
    with torch.autocast("cpu", torch.bfloat16, enabled=best_precision() == "bfloat16"):
        logits = model(*inputs)
    raw = nn.functional.binary_cross_entropy_with_logits(
        logits.float(), labels.nan_to_num() * (1 - 2 * SMOOTHING) + SMOOTHING, reduction="none"
    )
    loss: Tensor = (raw * ~labels.isnan() * weights).sum() / len(batch)
    return loss


def train(  # noqa: PLR0913 - the options of the recipe
    data: Path,
    out: Path,
    seed: int,
    *,
    log: Log,
    steps: int = STEPS,
    rate: float = RATE,
    warm: Path | None = None,
) -> None:
    """Train the second stage and write its weights to ``out``.

    A step is one batch of at most 32 rows; 1,200 steps read the texts of `MIXTURE` about once. ``rate`` is the highest learning rate, and
    ``warm`` a file with weights of an earlier run to start from. The constants in ``out`` are not fitted yet (`detectors.train.cascade`).
    """
    rng = random.Random(seed)
    torch.manual_seed(seed)
    backbone, tokenizer = load_smollm()
    model = SecondStage(backbone).requires_grad_(requires_grad=False)
    nn.init.normal_(model.head.weight, std=0.01)
    nn.init.zeros_(model.head.bias)
    earlier = load_file(warm) if warm else {}
    merge(model, earlier)
    adapt(backbone.layers, RANK, seed)
    for part in (model.norm, model.head):
        part.requires_grad_()
    known = [e for e in load_examples(data, seed) if e.split == "train" and e.labels[1] in (0.0, 1.0)]
    rows = Rows(tokenizer)
    chosen = sample_mixture(known, seed, MIXTURE, 0.0)
    prompts = [e.text for e in known if e.source in PROMPTS and e.labels[1] == 0.0 == e.labels[-1]]
    samples = [*_samples(chosen, rows, rng), *_paired(prompts, rows, rng)]
    plan: list[list[Sample]] = []
    while len(plan) < steps:
        plan += batches(samples, rng)
    log(
        f"{len(samples)} windows, {sum(sample.tokens for sample in samples)} tokens: {len(plan)} batches planned, {steps} run"
    )
    task = hashlib.sha256(repr((plan[:steps], rate, warm and hashlib.sha256(warm.read_bytes()).hexdigest())).encode())
    training = AveragedTraining(model.train(), out, average=AVERAGE, task=task.hexdigest())

    def step(batch: Sequence[Sample]) -> float:
        loss = loss_of(model, rows, batch, random.Random(f"{seed} {training.done}"))
        loss.backward()  # type: ignore[no-untyped-call] # torch has no type here
        training.step(rate * pace(training.done, steps))
        return loss.item()

    training.run(plan[:steps], step, log, every=EVERY)
    save_file(delta(training, earlier, KEPT) | dict(model.named_buffers()), out)
    training.finish()
