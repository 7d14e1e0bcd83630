"""The trainers of ``weir train-detector``.

A trainer writes one safetensors file and logs its progress. It resumes from a checkpoint beside this file, and deletes
the checkpoint at the end. To add a trainer, write a function with the signature of `Trainer.train`, a row of `TRAINERS`
and the text of its model card in model_cards.toml.
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
from detectors.train import calibration, encoder_trainer
from detectors.train.averaged_training import Log, checkpoint_of
from detectors.train.entity_texts import SOURCES
from detectors.train.real_texts import REAL_FILES


class CardText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text for a trainer's model card, from model_cards.toml."""

    recipe: str
    limits: tuple[str, ...]


def _own_weights(weights: Path, digest: str) -> dict[str, Any]:
    return {"weights": str(weights), "weights_sha256": digest}


class Trainer(msgspec.Struct, frozen=True, kw_only=True):
    """A function that trains weights, with its input files and the detectors that use the weights."""

    #: Function of (data folder, file to write, seed, share, log), deterministic up to the order of floating-point sums.
    #: ``share`` is the share of a full run, for short test runs.
    train: Callable[[Path, Path, int, float, Log], None]
    #: Name of the file of weights.
    weights: str
    #: The files in the data folder that the function reads.
    files: tuple[str, ...]
    #: Files that the function also reads if they exist.
    optional: tuple[str, ...] = ()
    #: The detectors that use these weights.
    detectors: tuple[str, ...]
    card: CardText
    #: (file of weights, its SHA-256) → options of a detector that uses this file.
    options: Callable[[Path, str], Mapping[str, Any]] = _own_weights


def _encoder(data: Path, out: Path, seed: int, share: float, log: Log) -> None:
    # A run that was interrupted during the calibration has complete weights and no checkpoint.
    if not out.exists() or checkpoint_of(out).exists():
        encoder_trainer.train(data, out, seed, steps=max(1, round(encoder_trainer.STEPS * share)), log=log)
    log("calibrating the scores")
    calibration.calibrate(data, out, seed, log=log)


def _pii(data: Path, out: Path, seed: int, share: float, log: Log) -> None:
    from detectors.train.token_head_trainer import train  # noqa: PLC0415 - Faker is an extra

    train(data, out, seed, share=share, log=log)


_CARDS = read_toml("detectors.train", "model_cards.toml", dict[str, CardText])
_ENCODER = Trainer(
    train=_encoder,
    weights="encoder.safetensors",
    files=FILES,
    optional=REAL_FILES,
    detectors=TASKS,
    card=_CARDS["encoder"],
)
#: Detector → its trainer.
TRAINERS: dict[str, Trainer] = {
    **dict.fromkeys(TASKS, _ENCODER),
    "pii": Trainer(
        train=_pii,
        weights="pii.safetensors",
        files=(CLINC, HALUEVAL, *SOURCES),
        detectors=("pii",),
        card=_CARDS["pii"],
    ),
}


def find_trainer(name: str) -> Trainer:
    """Return the trainer of a detector's weights; raise UnknownDetectorError if there is none."""
    if name not in TRAINERS:
        raise UnknownDetectorError(f"no recipe trains {name!r}: choose one of {', '.join(TRAINERS)}")
    return TRAINERS[name]
