"""The recipes of ``weir train-detector``, registered once.

A recipe writes one safetensors file and logs its progress. It resumes from a checkpoint beside that file, and removes
the checkpoint at the end. To add a recipe, write a function of the same signature, a row of `TRAINERS`, and its text in model_cards.toml.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import UnknownDetectorError
from detectors.evaluate.public_sets import FILES
from detectors.evaluate.readers import CLINC, HALUEVAL
from detectors.models.multitask import TASKS
from detectors.toml_files import read_toml
from detectors.train import encoder_trainer
from detectors.train.averaged_training import Log

__all__ = ["TRAINERS", "CardText", "Log", "Trainer", "find_trainer"]


class CardText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text of the model card, from model_cards.toml."""

    recipe: str
    limits: tuple[str, ...]


def _own_weights(weights: Path, digest: str) -> dict[str, Any]:
    return {"weights": str(weights), "weights_sha256": digest}


class Trainer(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe."""

    #: Function of (data folder, file to write, seed, share, log); deterministic up to the order of floating-point
    #: sums. ``share`` is the length of the run as a share of the whole, to try things out.
    train: Callable[[Path, Path, int, float, Log], None]
    #: The name of the file that it writes.
    weights: str
    #: The files that it reads, under the data folder.
    files: tuple[str, ...]
    #: The detectors that run these weights.
    detectors: tuple[str, ...]
    card: CardText
    #: (file, its SHA-256) → the options with which a detector runs them.
    options: Callable[[Path, str], Mapping[str, Any]] = _own_weights


def _encoder(data: Path, out: Path, seed: int, share: float, log: Log) -> None:
    encoder_trainer.train(data, out, seed, steps=max(1, round(encoder_trainer.STEPS * share)), log=log)


def _pii(data: Path, out: Path, seed: int, share: float, log: Log) -> None:
    from detectors.train.token_head_trainer import NEGATIVES, POSITIVES, train  # noqa: PLC0415 - Faker is an extra

    positives, negatives = (max(1, round(count * share)) for count in (POSITIVES, NEGATIVES))
    train(data, out, seed, positives=positives, negatives=negatives, log=log)


_CARDS = read_toml("detectors.train", "model_cards.toml", dict[str, CardText])
_ENCODER = Trainer(train=_encoder, weights="encoder.safetensors", files=FILES, detectors=TASKS, card=_CARDS["encoder"])
#: Detector → its recipe.
TRAINERS: dict[str, Trainer] = {
    **dict.fromkeys(TASKS, _ENCODER),
    "pii": Trainer(
        train=_pii, weights="pii.safetensors", files=(CLINC, HALUEVAL), detectors=("pii",), card=_CARDS["pii"]
    ),
}


def find_trainer(name: str) -> Trainer:
    """Return the recipe of a detector; raise UnknownDetectorError if none trains it."""
    if name not in TRAINERS:
        raise UnknownDetectorError(f"no recipe trains {name!r}: choose one of {', '.join(TRAINERS)}")
    return TRAINERS[name]
