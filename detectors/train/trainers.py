"""The recipes that ``weir train-detector`` knows: one registry, a row a detector.

A trainer writes one safetensors file and says how far it is. It goes on from a checkpoint that lies beside that file, and removes it at
the end. A new one is a function of the same signature and a row of `TRAINERS`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import UnknownDetectorError
from detectors.models.multitask import TASKS
from detectors.train.datasets import FILES

__all__ = ["TRAINERS", "Say", "Trainer", "trainer"]

#: Takes a line of progress.
Say = Callable[[str], None]


class Trainer(msgspec.Struct, frozen=True, kw_only=True):
    """How the weights of a detector are made.

    Attributes
    ----------
    train
        (data folder, file to write, seed, share, progress) → nothing; deterministic up to the order of floating-point sums. A
        share of less than 1 makes a run that is shorter by it, to try things out.
    weights
        The name of the file that it writes.
    files
        What it reads, under the data folder.
    detectors
        The detectors that run these weights.
    options
        (file, its SHA-256) → the options under which such a detector runs them.
    recipe
        What is trained and how, for the model card.
    limits
        Where the model is known to fail whatever the figures say, for the model card.
    """

    train: Callable[[Path, Path, int, float, Say], None]
    weights: str
    files: tuple[str, ...]
    detectors: tuple[str, ...]
    options: Callable[[Path, str], Mapping[str, Any]]
    recipe: str
    limits: tuple[str, ...]


def _encoder(data: Path, out: Path, seed: int, share: float, say: Say) -> None:
    from detectors.train.encoder import STEPS, train  # noqa: PLC0415 - torch takes seconds to import

    train(data, out, seed, steps=max(1, round(STEPS * share)), say=say)


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
        "weights are an exponential average over the steps. Details: `detectors/train/encoder.py`, `detectors/train/data.py`."
    ),
    limits=(
        "It reads English. Other languages, and English that is written to evade it, are missed more often.",
        "Its sources are mostly posts and comments of social media: what offends there is not what offends everywhere.",
        "Toxicity misses implicit hate and stereotypes without a bad word most; it raises false alarms at reclaimed words and quotes.",
        "Attacks of styles that are in none of the sources are untested; long role-play prompts may be flagged as injection.",
        "Refusal learned from phrases of this project and weak labels: experimental.",
        "It decides about single texts, never about who wrote them.",
    ),
)


def _pii(data: Path, out: Path, seed: int, share: float, say: Say) -> None:
    from detectors.train.pii import NEGATIVES, POSITIVES, train  # noqa: PLC0415 - as above, and Faker is an extra

    train(
        data, out, seed, positives=max(1, round(POSITIVES * share)), negatives=max(1, round(NEGATIVES * share)), say=say
    )


_PII = Trainer(
    train=_pii,
    weights="pii.safetensors",
    files=("drift/clinc_data_full.json.gz", "hallucination/halueval_general.jsonl.gz"),
    detectors=("pii",),
    options=_own_weights,
    recipe=(
        "The token head of `pii`, on the word vectors of the pinned all-MiniLM-L6-v2. It learns from sentences of this project: templates "
        "that are filled with Faker's names, places, organisations, jobs, dates and numbers of many locales, beside ordinary questions of "
        "CLINC and HaluEval that hold nothing of the kind. Details: `detectors/train/pii.py`, `detectors/train/pii_texts.py`."
    ),
    limits=(
        "Its sentences are templates: personal data in a context that none of them has is missed more often.",
        "It reads English sentences; names of other languages inside them are known as far as Faker's locales have them.",
        "Organisations, job titles and places that are common words are its weakest types.",
        "The patterns of `pii` (cards, accounts, e-mail addresses and the like) are rules beside it, and not trained.",
    ),
)

#: Detector → how its weights are made.
TRAINERS: dict[str, Trainer] = {**dict.fromkeys(TASKS, _ENCODER), "pii": _PII}


def trainer(name: str) -> Trainer:
    """Return the trainer of a detector.

    Raises
    ------
    UnknownDetectorError
        Nothing of that detector is trained here.
    """
    if name not in TRAINERS:
        raise UnknownDetectorError(f"nothing trains {name!r}: choose one of {', '.join(TRAINERS)}")
    return TRAINERS[name]
