"""Training of the PII detector's token head; a JSON file beside the weights records seed, counts and digests."""

import hashlib
import json
import random
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from detectors.evaluate.readers import CLINC, HALUEVAL
from detectors.models.minilm import load_minilm, load_tokenizer
from detectors.models.weight_files import MINILM_DIGEST
from detectors.pii.token_head import KINDS, TokenHead, row
from detectors.pii.tokens import Tokens, encode
from detectors.train.averaged_training import AveragedTraining, Log
from detectors.train.pii_texts import Labelled, texts

__all__ = ["NEGATIVES", "POSITIVES", "train"]

TOKENS_A_BATCH = 1400
#: Numbers of sentences with entities and without entities in a full run.
POSITIVES, NEGATIVES = 16_000, 8_000
RATE, AVERAGE = 3e-3, 0.99
#: Share of tokens that are hidden, so that the head learns from their context, and of vector elements set to 0.
HIDDEN_WORDS, DROPPED = 0.06, 0.1
UNKNOWN = 100
CHECKPOINT_EVERY = 50
Item = tuple[list[int], list[int], list[int]]


def labels_of(tokens: Tokens, spans: Sequence[tuple[int, int, str]]) -> list[int]:
    """Return the class of each token: 0 outside spans, ``1 + 2k`` first in a span of kind k, ``2 + 2k`` later in it."""
    found = np.zeros(len(tokens.ids), dtype=np.int64)
    for start, end, kind in spans:
        inside = np.flatnonzero((tokens.starts < end) & (tokens.ends > start))
        found[inside] = 2 + 2 * KINDS.index(kind)
        found[inside[:1]] -= 1
    return [int(value) for value in found]


def items(examples: Sequence[Labelled]) -> list[Item]:
    """Return the token ids, shapes and classes of each text; texts without tokens are omitted."""
    tokenized = encode(load_tokenizer(), [example.text for example in examples])
    return [
        (tokens.ids, tokens.shapes.tolist(), labels_of(tokens, example.spans))
        for tokens, example in zip(tokenized, examples, strict=True)
        if tokens.ids
    ]


def batches(rows: Sequence[Item], rng: random.Random) -> list[list[Item]]:
    """Divide the texts of one epoch, in random order, into batches of about `TOKENS_A_BATCH` tokens."""
    result: list[list[Item]] = [[]]
    length = 0
    for item in rng.sample(rows, len(rows)):
        if length > TOKENS_A_BATCH:
            result.append([])
            length = 0
        result[-1].append(item)
        length += len(item[0])
    return result


def _loss(head: TokenHead, words: Tensor, batch: Sequence[Item], generator: torch.Generator) -> Tensor:
    """Return the mean cross-entropy of a batch's tokens; a random share of the tokens is hidden."""
    ids, shapes, real, starts = row([item[0] for item in batch], [item[1] for item in batch])
    classes = torch.full((len(ids),), -100)
    for start, item in zip(starts, batch, strict=True):
        classes[start : start + len(item[2])] = torch.tensor(item[2])
    ids[torch.rand(len(ids), generator=generator) < HIDDEN_WORDS] = UNKNOWN
    kept = torch.rand(len(ids), words.shape[1], generator=generator) >= DROPPED
    vectors = head.project(words[ids] * kept)
    return nn.functional.cross_entropy(head(vectors / (1 - DROPPED), shapes, real), classes, ignore_index=-100)


def _rate(step: int, steps: int) -> float:
    """Return the learning rate, which rises during the first 6 % of the steps and then falls linearly to zero."""
    warm = max(1.0, 0.06 * steps)
    return RATE * min(step / warm, max(0.0, (steps - step) / (steps - warm)))


def train(  # noqa: PLR0913 - the options of the recipe
    data: Path,
    out: Path,
    seed: int,
    *,
    log: Log,
    positives: int = POSITIVES,
    negatives: int = NEGATIVES,
    epochs: int = 2,
) -> None:
    """Train the token head; write its weights to ``out``, and a record of the run to a JSON file beside ``out``.

    From the folder ``data``, only ordinary questions are read, as texts without entities. ``positives`` and
    ``negatives`` are the numbers of texts with and without entities.
    """
    record = {
        "detector": "pii", "kinds": list(KINDS), "seed": seed, "positives": positives, "negatives": negatives,
        "epochs": epochs, "faker": version("faker"), "base": MINILM_DIGEST,
        "data": {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in (CLINC, HALUEVAL)},
    }  # fmt: skip
    rows = items(texts(data, positives, negatives, seed))
    rng = random.Random(seed)  # noqa: S311 - a reproducible order, not secrets
    plan = [batch for _ in range(epochs) for batch in batches(rows, rng)]
    torch.manual_seed(seed)
    words, head = load_minilm().words.weight, TokenHead()
    nn.init.normal_(head.shapes.weight, std=0.02)
    task = hashlib.sha256(json.dumps(record | {"checkpoint": 2}, sort_keys=True).encode()).hexdigest()
    parameters = dict(head.named_parameters())
    training = AveragedTraining(parameters, out.with_suffix(".checkpoint"), average=AVERAGE, task=task)
    log(f"{len(rows)} texts, {len(plan)} steps")
    training.resume(log)

    def take(batch: Sequence[Item]) -> float:
        number = training.done + 1
        loss = _loss(head, words, batch, torch.Generator().manual_seed(seed * 1_000_003 + number))
        loss.backward()  # type: ignore[no-untyped-call] # torch has no types for it
        training.step(_rate(number, len(plan)))
        return float(loss.item())

    mean = training.run(plan, take, log, every=CHECKPOINT_EVERY)
    save_file({name: value.half().contiguous() for name, value in training.averaged.items()}, out)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    record |= {"sha256": digest, "loss": round(mean, 4)}
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    training.finish()
