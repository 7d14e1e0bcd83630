"""``weir train-detector``'s work: weights made by a registered recipe, a threshold for each detector, figures, and a model card."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from detectors.errors import DataError
from detectors.evaluate.datasets import EVERY_SOURCE, known_sets
from detectors.evaluate.progress import Progress
from detectors.evaluate.provenance import DataFile, data_files, machine, versions
from detectors.evaluate.scoring import score_all, texts_of
from detectors.evaluate.thresholds import choose
from detectors.models.multitask import TASKS
from detectors.train.datasets import ORDINARY
from detectors.train.model_card import Made, card
from detectors.train.trainers import Say, Trainer, trainer
from weir.quality.evaluation import Asked, run
from weir.quality.scoring import load_detectors

__all__ = ["CARD", "Training", "train"]

RECORD, FIGURES, CARD = "run.json", "figures.json", "MODEL_CARD.md"


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be trained: a detector, on a folder of data, into a folder.

    ``limit`` is texts a source for the figures, ``share`` the length of the run as a share of the recipe's.
    """

    name: str
    data: Path
    out: Path
    seed: int = 0
    share: float = 1.0
    resume: bool = False
    limit: int = 300
    command: Sequence[str] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a run began with: the same run goes on only from the same. ``sha256`` is that of the weights once they are whole."""

    detectors: tuple[str, ...]
    seed: int
    share: float = 1.0
    data: list[DataFile]
    at: str
    versions: Mapping[str, str]
    sha256: str | None = None


def _write(folder: Path, record: Record) -> None:
    (folder / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def train(asked: Training, say: Say, progress: Progress) -> Made:
    """Train, measure on held-out texts, and write weights, record, figures and model card into ``asked.out``.

    Raises
    ------
    detectors.errors.DetectorError
        Nothing trains that detector, a data file is missing, or the folder holds another run.
    """
    recipe = trainer(asked.name)
    weights = asked.out / recipe.weights
    record = _record(asked, recipe)
    if record.sha256 is None:
        recipe.train(asked.data, weights, asked.seed, asked.share, say)
    (digest,) = data_files(asked.out, [recipe.weights])
    if record.sha256 not in (None, digest.sha256):
        raise DataError(f"{weights} is not what the run in {asked.out} wrote: name another folder with --out")
    _write(asked.out, msgspec.structs.replace(record, sha256=digest.sha256))
    say(f"{weights} is whole, SHA-256 {digest.sha256}; now its figures")
    options = {name: dict(recipe.options(weights.resolve(), digest.sha256)) for name in recipe.detectors}
    for name, threshold in _thresholds(asked, options, progress).items():
        options[name]["threshold"] = round(threshold, 4)
    report = run(
        Asked(
            names=recipe.detectors,
            data=asked.data,
            limit=asked.limit,
            cost=False,
            split=("test", asked.seed),
            options=options,
        ),
        progress,
    )
    made = Made(
        name=asked.name,
        sha256=digest.sha256,
        size_bytes=digest.size_bytes,
        seed=asked.seed,
        command=shlex.join(asked.command),
        at=record.at,
        machine=machine(),
        versions=record.versions,
        data=record.data,
        options=options,
        rows=[one.row for one in report.text],
    )
    (asked.out / FIGURES).write_bytes(msgspec.json.format(msgspec.json.encode(report.as_json()), indent=1) + b"\n")
    (asked.out / CARD).write_text(card(made, recipe), encoding="utf-8")
    return made


def _record(asked: Training, recipe: Trainer) -> Record:
    """Return what this run begins with, or what the run that goes on began with."""
    data = data_files(asked.data, recipe.files)
    path = asked.out / RECORD
    fresh = Record(
        detectors=recipe.detectors,
        seed=asked.seed,
        share=asked.share,
        data=data,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )
    if path.exists():
        return _going_on(asked, path, fresh)
    if (asked.out / recipe.weights).exists():
        raise DataError(
            f"{asked.out / recipe.weights} is there already; name another folder with --out, or move it away"
        )
    asked.out.mkdir(parents=True, exist_ok=True)
    _write(asked.out, fresh)
    return fresh


def _going_on(asked: Training, path: Path, fresh: Record) -> Record:
    try:
        begun = msgspec.json.decode(path.read_bytes(), type=Record)
    except msgspec.MsgspecError as error:
        raise DataError(f"{path} is no record of a run ({error}); name another folder with --out") from error
    if not asked.resume:
        raise DataError(
            f"{asked.out} holds a run begun {begun.at}: go on with --resume, or name another folder with --out"
        )
    for what in ("detectors", "seed", "share"):
        before, now = getattr(begun, what), getattr(fresh, what)
        if before != now:
            raise DataError(
                f"{asked.out} holds a run with {what} {before!r}, not {now!r}: give the same, or another --out"
            )
    changed = [file.file for file in fresh.data if file not in begun.data]
    if changed:
        raise DataError(
            f"{changed[0]} is another file than when the run in {asked.out} began: name another folder with --out"
        )
    return begun


def _thresholds(asked: Training, options: Mapping[str, Mapping[str, Any]], progress: Progress) -> dict[str, float]:
    """Return a threshold for each head of the shared encoder, chosen on the tune split; the others keep the shipped one.

    Each is the median of those chosen without one of the sources, among those that flag at most 2 % of the split's ordinary prompts.
    """
    names = [name for name in options if name in TASKS]
    known = known_sets(asked.data, names, asked.limit, seed=0, split=("tune", asked.seed)) if names else None
    if known is None or not known.sets:
        return {}
    detectors = load_detectors(names, options)
    scores = score_all(detectors, texts_of(names, known.sets, ()), progress)
    chosen = {}
    for name in names:
        sources = {
            one.name: (
                np.array([scores[name][case.asked].score for case in one.cases]),
                np.array([bool(case.label) for case in one.cases]),
            )
            for one in known.sets
            if one.detector == name and not one.name.startswith(EVERY_SOURCE)
        }
        chosen[name], _ = choose(sources, [sources[source][0] for source in ORDINARY if source in sources])
    return chosen
