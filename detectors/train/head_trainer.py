"""Training of the shared encoder's heads; the layers of the encoder stay as they are.

The pooled vectors of all texts are computed once and kept in a file (`detectors.train.pooled`), so a run of the heads
takes a minute. The loss is that of `detectors.train.encoder_trainer`, counterfactual pairs included. The result is an
exponential moving average of the weights.
"""

import copy
import hashlib
import random
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from detectors.evaluate.examples import Example, Labels
from detectors.models.minilm import load_tokenizer
from detectors.models.multitask import CATEGORIES, OUTPUTS, TASKS, Heads, load_multitask
from detectors.models.token_windows import CLS, SEP, WINDOW
from detectors.normalise.disguise import spoken
from detectors.text.injection import InjectionDetector
from detectors.toml_files import read_toml
from detectors.train.averaged_training import AveragedTraining, Log
from detectors.train.calibration import calibrate, load_detector
from detectors.train.conflict import fit_conflict
from detectors.train.encoder_trainer import PAIRING, penalty
from detectors.train.mixes import load_examples
from detectors.train.pooled import PooledVectors
from detectors.train.toxicity_texts import swap_group

__all__ = ["NEW", "SHARES", "WARM", "HeadInputs", "Recipe", "fit", "head_inputs", "train"]

#: Source → factor of the weight of its texts (default 1).
SHARES = read_toml("detectors.train", "heads.toml", dict[str, float])
BATCH, AVERAGE, FOLDS = 512, 0.995, 5
#: Sources on which the outputs of toxicity stay near the earlier ones, these outputs, and the weight of their squared difference.
HELD = frozenset(
    {
        "davidson",
        "edos",
        "hatemojibuild",
        "implicithate",
        "madlibs",
        "openai_moderation_half",
        "tox_nonfuzzed",
        "toxigen",
    }
)
TOXIC = [0, *range(len(TASKS), len(TASKS) + len(CATEGORIES))]
HOLDING = 0.5


class Recipe(NamedTuple):
    """Number of epochs, highest learning rate, and whether `TOXIC` outputs stay near those of the first heads on the sources `HELD`."""

    epochs: int
    rate: float
    hold: bool


#: From the earlier heads, and from random heads.
WARM, NEW = Recipe(4, 5e-4, hold=True), Recipe(2, 1e-3, hold=False)


class HeadInputs(NamedTuple):
    """The training rows: pooled vectors (n, 3 * HIDDEN), labels (n, outputs), weights and sources.

    ``swapped`` has the index of the row of the same text with another group of people, or -1.
    """

    vectors: Tensor
    labels: Tensor
    weights: Tensor
    sources: list[str]
    swapped: Tensor


def _rows(examples: Sequence[Example], rng: random.Random) -> Iterator[tuple[list[int], Example, float, bool]]:
    """Yield (row of token ids, example, factor of its weight, whether the row is a copy with another group).

    The rows of an example are its beginning, a copy, and for a long text sometimes a later window. A later window of a
    positive text may be harmless, so its weight is lower.
    """
    texts = [spoken(example.text[:20_000]) for example in examples]
    copies = [(swap_group(text, rng) if len(text) < 400 else None) or "" for text in texts]
    tokens, others = (
        [encoding.ids for encoding in load_tokenizer().encode_batch(found, add_special_tokens=False)]
        for found in (texts, copies)
    )
    for example, ids, other in zip(examples, tokens, others, strict=True):
        yield [CLS, *ids[:WINDOW], SEP], example, 0.5 if other else 1.0, False
        if other:
            yield [CLS, *other[:WINDOW], SEP], example, 0.5, True
        if len(ids) > WINDOW + 20 and rng.random() < 0.5:
            start = rng.randrange(20, len(ids) - 20)
            factor = 0.25 if 1.0 in example.labels[:3] else 1.0
            yield [CLS, *ids[start : start + WINDOW], SEP], example, factor, False


def head_inputs(examples: Sequence[Example], weights: Path, cache: Path, seed: int, log: Log) -> HeadInputs:
    """Encode the examples with the encoder ``weights``; the file ``cache`` keeps the pooled vectors."""
    rows = list(_rows(examples, random.Random(seed)))  # noqa: S311 - reproducible windows, not secrets
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    vectors = PooledVectors(cache, digest).of(load_multitask(None, weights, digest), [row for row, *_ in rows], log)
    swapped = torch.full((len(rows),), -1)
    copies = torch.tensor([index for index, (*_, copy) in enumerate(rows) if copy], dtype=torch.long)
    swapped[copies - 1] = copies
    known: list[Labels] = [example.labels for _, example, *_ in rows]
    factors = [example.weight * factor * SHARES.get(example.source, 1.0) for _, example, factor, _ in rows]
    sources = [example.source for _, example, *_ in rows]
    return HeadInputs(torch.from_numpy(vectors), torch.tensor(known), torch.tensor(factors), sources, swapped)


def fit(heads: Heads, inputs: HeadInputs, seed: int, recipe: Recipe, *, without: Collection[str] = ()) -> Heads:
    """Train ``heads`` in place on the rows of all sources except ``without``; return them with the averaged weights."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.tensor(
        [index for index, source in enumerate(inputs.sources) if source not in without], dtype=torch.long
    )
    held = torch.tensor([recipe.hold and source in HELD for source in inputs.sources])
    before = copy.deepcopy(heads).requires_grad_(requires_grad=False)
    training = AveragedTraining(dict(heads.named_parameters()), Path("unused"), average=AVERAGE)
    total = recipe.epochs * -(-len(kept) // BATCH)
    for _ in range(recipe.epochs):
        for batch in torch.split(kept[torch.randperm(len(kept), generator=generator)], BATCH):
            vectors = inputs.vectors[batch].float()
            logits = heads.of_pooled(vectors)
            loss = penalty(logits, inputs.labels[batch], inputs.weights[batch])
            paired = inputs.swapped[batch] >= 0
            if paired.any():
                others = heads.of_pooled(inputs.vectors[inputs.swapped[batch[paired]]].float())
                loss = loss + PAIRING * (logits[paired] - others)[:, [0, 3]].square().sum()
            if (still := held[batch]).any():
                moved = (logits[still] - before.of_pooled(vectors[still]))[:, TOXIC]
                loss = loss + HOLDING * (moved.square() * inputs.weights[batch][still, None]).sum()
            (loss / len(batch)).backward()  # type: ignore[no-untyped-call]
            training.step(recipe.rate * min(1.0, 20 * (training.done + 1) / total, 1.05 - training.done / total))
    with torch.no_grad():
        for name, value in heads.named_parameters():
            value.copy_(training.averaged[name])
    return heads


def _new_heads(seed: int, before: Mapping[str, Tensor] | None = None) -> Heads:
    """Return heads with random weights, or with those of the encoder's weights ``before``, which may have fewer outputs."""
    torch.manual_seed(seed)
    heads = Heads(len(OUTPUTS))
    nn.init.normal_(heads.outer, std=0.05)
    with torch.no_grad():
        for name, value in heads.named_parameters():
            kept = (before or {}).get(f"heads.{name}", value[:0])
            value[: len(kept)] = kept.float()
    return heads


def train(  # noqa: PLR0913 - the options of the command
    data: Path, out: Path, seed: int, *, weights: Path, cache: Path, log: Log
) -> None:
    """Write the encoder ``weights`` with new heads, a new calibration and new constants of requests for a secret to ``out``.

    The training starts from the earlier heads. The calibration is cross-fitted: of `FOLDS` groups of sources, each is
    scored by heads that start from random weights and are trained without it. The layers of the encoder were trained on
    most of these sources, so the result is still too confident on other data.
    """
    torch.set_num_threads(1)
    examples = load_examples(data, seed)
    inputs = head_inputs([example for example in examples if example.split == "train"], weights, cache, seed, log)
    before = load_file(weights)
    _save(fit(_new_heads(seed, before), inputs, seed, WARM), before, out)
    with TemporaryDirectory() as folder:
        without: dict[str, Path] = {}
        sources = sorted({example.source for example in examples})
        for fold in range(FOLDS):
            left = [source for source in sources if zlib.crc32(source.encode()) % FOLDS == fold]
            log(f"without {', '.join(left)}")
            path = Path(folder) / f"{fold}.safetensors"
            _save(fit(_new_heads(seed), inputs, seed, NEW, without=left), before, path)
            without |= dict.fromkeys(left, path)
        calibrate(data, out, seed, log=log, without=without)
    detector = load_detector("injection", out)
    assert isinstance(detector, InjectionDetector)
    conflict = fit_conflict(detector, examples, seed)
    log(f"requests for a secret: slopes and shift {conflict.round(3).tolist()}")
    save_file({**load_file(out), "conflict": torch.from_numpy(conflict).float()}, out)


def _save(heads: Heads, before: dict[str, Tensor], out: Path) -> None:
    state = {name: value for name, value in before.items() if not name.startswith("heads.")}
    trained = {f"heads.{name}": value.detach().half().contiguous() for name, value in heads.named_parameters()}
    save_file({**state, **trained}, out)
