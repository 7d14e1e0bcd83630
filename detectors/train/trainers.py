"""The recipes of ``weir train-detector``, registered once.

A recipe writes one safetensors file and logs its progress. It resumes from a checkpoint beside that file, and removes
the checkpoint at the end. To add a recipe, write a function of the same signature and add a row to `TRAINERS`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import UnknownDetectorError
from detectors.evaluate.public_sets import FILES
from detectors.evaluate.readers import CLINC, HALUEVAL
from detectors.models.multitask import TASKS
from detectors.train import encoder_trainer
from detectors.train.averaged_training import Log

__all__ = ["TRAINERS", "Log", "Trainer", "find_trainer"]


class Trainer(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe.

    Attributes
    ----------
    train
        Function of (data folder, file to write, seed, share, log); deterministic up to the order of floating-point
        sums. ``share`` is the length of the run as a share of the whole, to try things out.
    weights
        The name of the file that it writes.
    files
        The files that it reads, under the data folder.
    detectors
        The detectors that run these weights.
    options
        (file, its SHA-256) → the options with which a detector runs them.
    recipe
        What is trained and how, for the model card.
    limits
        Known failures of the model that the metrics do not show, for the model card.
    """

    train: Callable[[Path, Path, int, float, Log], None]
    weights: str
    files: tuple[str, ...]
    detectors: tuple[str, ...]
    options: Callable[[Path, str], Mapping[str, Any]]
    recipe: str
    limits: tuple[str, ...]


def _encoder(data: Path, out: Path, seed: int, share: float, log: Log) -> None:
    encoder_trainer.train(data, out, seed, steps=max(1, round(encoder_trainer.STEPS * share)), log=log)


def _own_weights(weights: Path, digest: str) -> dict[str, Any]:
    return {"weights": str(weights), "weights_sha256": digest}


_ENCODER = Trainer(
    train=_encoder,
    weights="encoder.safetensors",
    files=FILES,
    detectors=TASKS,
    options=_own_weights,
    recipe=(
        "One encoder for toxicity, injection and refusal: all-MiniLM-L6-v2, pinned by digest, with a low-rank change to every matrix "
        "of its six layers (LoRA, arXiv 2106.09685), shifts of biases and norms, and small heads over first token, mean and maximum. "
        "Sources are balanced by caps, and public texts are split by near-duplicate cluster: 80 % train, 10 % tune, 10 % test. The "
        "weights are an exponential average over the steps. Details: `detectors/train/encoder_trainer.py`, `detectors/train/mixes.py`."
    ),
    limits=(
        "It reads English. It misses other languages, and English that is written to evade it, more often.",
        "Its sources are mostly posts and comments of social media: other communities are offended by other texts.",
        "Toxicity misses implicit hate and stereotypes without a bad word most; it has false positives on reclaimed words and quotes.",
        "Attacks of styles that are in none of the sources are untested; long role-play prompts may be flagged as injection.",
        "Refusal learned from phrases of this project and weak labels: experimental.",
        "It decides about single texts, never about their authors.",
    ),
)


def _pii(data: Path, out: Path, seed: int, share: float, log: Log) -> None:
    from detectors.train.token_head_trainer import NEGATIVES, POSITIVES, train  # noqa: PLC0415 - Faker is an extra

    positives, negatives = (max(1, round(count * share)) for count in (POSITIVES, NEGATIVES))
    train(data, out, seed, positives=positives, negatives=negatives, log=log)


_PII = Trainer(
    train=_pii,
    weights="pii.safetensors",
    files=(CLINC, HALUEVAL),
    detectors=("pii",),
    options=_own_weights,
    recipe=(
        "The token head of `pii`, on the word vectors of the pinned all-MiniLM-L6-v2. It learns from sentences of this project: templates "
        "that are filled with Faker's names, places, organisations, jobs, dates and numbers of many locales, beside ordinary questions of "
        "CLINC and HaluEval without entities. Details: `detectors/train/token_head_trainer.py`, `detectors/train/pii_texts.py`."
    ),
    limits=(
        "It learns from templates: it misses personal data in other contexts more often.",
        "It reads English sentences; it finds names of other languages in them as far as Faker's locales cover them.",
        "Organisations, job titles and locations that are common words are its weakest types.",
        "The patterns of `pii` (cards, accounts, e-mail addresses and the like) are separate rules, and not trained.",
    ),
)

#: Detector → its recipe.
TRAINERS: dict[str, Trainer] = {**dict.fromkeys(TASKS, _ENCODER), "pii": _PII}


def find_trainer(name: str) -> Trainer:
    """Return the recipe of a detector.

    Raises
    ------
    UnknownDetectorError
        No recipe trains that detector.
    """
    if name not in TRAINERS:
        raise UnknownDetectorError(f"no recipe trains {name!r}: choose one of {', '.join(TRAINERS)}")
    return TRAINERS[name]
