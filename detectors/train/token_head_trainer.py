"""Training of the PII detector's token head; a JSON file beside the weights records seed, counts and digests."""

import hashlib
import json
import random
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from detectors.evaluate.readers import CLINC, HALUEVAL
from detectors.models.minilm import load_minilm, load_tokenizer
from detectors.models.weight_files import MINILM_DIGEST
from detectors.pii.gazetteer import Gazetteer
from detectors.pii.token_head import CLASSES, KINDS, UNKNOWN, TokenHead, row
from detectors.pii.tokens import FORMS, Tokens, encode
from detectors.train.averaged_training import AveragedTraining, Log
from detectors.train.entity_texts import ATTRIBUTION, SOURCES, entity_texts
from detectors.train.pii_names import known_names
from detectors.train.pii_texts import CODE, Labelled, code_texts, texts

TOKENS_A_BATCH = 1400
EPOCHS = 3
#: Numbers of sentences with entities and without entities in a full run.
POSITIVES, NEGATIVES = 8_000, 4_000
RATE, AVERAGE = 3e-3, 0.99
#: Share of tokens that are hidden, so that the head learns from their context, and of vector elements set to 0.
HIDDEN_WORDS, DROPPED = 0.06, 0.1
#: Share of tokens without the code of the gazetteer, so that the head also finds names that are in no list.
UNLISTED = 0.4
CHECKPOINT_EVERY = 50
Item = tuple[list[int], list[int], NDArray[np.bool_]]


def allowed_classes(tokens: Tokens, example: Labelled) -> NDArray[np.bool_]:
    """Return the classes that each token can have according to the labels, (length, classes).

    Class 0 is outside entities, class ``1 + 2k`` the first token of an entity of kind k, class ``2 + 2k`` a later token.
    """
    allowed = np.zeros((len(tokens.ids), CLASSES), dtype=np.bool_)
    allowed[:, 0] = True
    for kind in example.open:
        allowed[:, [1 + 2 * KINDS.index(kind), 2 + 2 * KINDS.index(kind)]] = True
    for start, end, names in example.spans:
        inside = np.flatnonzero((tokens.starts < end) & (tokens.ends > start))
        allowed[inside] = False
        for name in names.split("|"):
            allowed[inside[:1], 1 + 2 * KINDS.index(name) if name else 0] = True
            allowed[inside[1:], 2 + 2 * KINDS.index(name) if name else 0] = True
    return allowed


def items(examples: Sequence[Labelled], gazetteer: Gazetteer) -> list[Item]:
    """Return the token ids, shapes and allowed classes of each text; texts without tokens are omitted."""
    tokenized = encode(load_tokenizer(), [example.text for example in examples], gazetteer)
    return [
        (tokens.ids, tokens.shapes.tolist(), allowed_classes(tokens, example))
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
    """Return the mean negative log-probability of the allowed classes; a random share of the tokens is hidden."""
    ids, shapes, real, starts = row([item[0] for item in batch], [item[1] for item in batch])
    allowed = torch.ones(len(ids), CLASSES, dtype=torch.bool)  # in the gaps, every class is allowed: their loss is 0
    for start, item in zip(starts, batch, strict=True):
        allowed[start : start + len(item[2])] = torch.from_numpy(item[2])
    ids[torch.rand(len(ids), generator=generator) < HIDDEN_WORDS] = UNKNOWN
    unlisted = torch.rand(len(ids), generator=generator) < UNLISTED
    shapes = torch.where(unlisted, shapes % FORMS, shapes)
    kept = torch.rand(len(ids), words.shape[1], generator=generator) >= DROPPED
    vectors = head.project(words[ids] * kept)
    logits = head(vectors / (1 - DROPPED), shapes, real)
    loss = logits.logsumexp(1) - logits.masked_fill(~allowed, -torch.inf).logsumexp(1)
    mean: Tensor = loss.sum() / real.sum()
    return mean


def _rate(step: int, steps: int) -> float:
    """Return the learning rate, which rises during the first 6 % of the steps and then falls linearly to zero."""
    warm = max(1.0, 0.06 * steps)
    return RATE * min(step / warm, max(0.0, (steps - step) / (steps - warm)))


def train(data: Path, out: Path, seed: int, *, log: Log, share: float = 1.0) -> None:
    """Train the token head; write its weights to ``out``, and a record of the run to a JSON file beside ``out``.

    The texts are `POSITIVES` synthetic texts with entities, `NEGATIVES` texts without entities, and those of
    `entity_texts.SOURCES`. ``share`` is the share of all these texts that the run reads.
    """
    positives, negatives = (max(1, round(count * share)) for count in (POSITIVES, NEGATIVES))

    def sample(found: list[Labelled]) -> list[Labelled]:
        chosen = random.Random(seed)
        return found if share == 1 else chosen.sample(found, max(1, round(len(found) * share)))

    record = {
        "detector": "pii", "kinds": list(KINDS), "seed": seed, "positives": positives, "negatives": negatives,
        "code": CODE, "epochs": EPOCHS, "faker": version("faker"), "base": MINILM_DIGEST,
        "data": {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in (CLINC, HALUEVAL, *SOURCES)},
    }  # fmt: skip
    gazetteer = Gazetteer.of(known_names())
    synthetic = items([*texts(data, positives, negatives, seed), *sample(code_texts(seed))], gazetteer)
    rng = random.Random(seed)
    plan = [
        # Real texts are varied anew for each epoch.
        batch
        for epoch in range(EPOCHS)
        for batch in batches(synthetic + items(sample(entity_texts(data, seed * 100 + epoch)), gazetteer), rng)
    ]
    torch.manual_seed(seed)
    words, head = load_minilm().words.weight, TokenHead()
    nn.init.normal_(head.shapes.weight, std=0.02)
    task = hashlib.sha256(json.dumps(record | {"checkpoint": 3, "share": share}, sort_keys=True).encode()).hexdigest()
    training = AveragedTraining(head, out, average=AVERAGE, task=task)
    log(f"{sum(map(len, plan))} texts in {EPOCHS} epochs, {len(plan)} steps")

    def take(batch: Sequence[Item]) -> float:
        number = training.done + 1
        loss = _loss(head, words, batch, torch.Generator().manual_seed(seed * 1_000_003 + number))
        loss.backward()  # type: ignore[no-untyped-call] # torch has no types for it
        training.step(_rate(number, len(plan)))
        return float(loss.item())

    mean = training.run(plan, take, log, every=CHECKPOINT_EVERY)
    state = {name: value.half().contiguous() for name, value in training.averaged.items()}
    lists = {"hashes": gazetteer.hashes, "codes": gazetteer.codes}
    save_file(state | {f"gazetteer.{name}": torch.from_numpy(value) for name, value in lists.items()}, out)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    record |= {"attribution": ATTRIBUTION, "sha256": digest, "loss": round(mean, 4)}
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    training.finish()
