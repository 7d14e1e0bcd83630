"""Train the weights of a detector, measure it and write a model card, for ``weir train-detector``."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from detectors.errors import DataError
from detectors.evaluate.cases.synthetic import synthetic_sets
from detectors.evaluate.datasets import ALL_SOURCES, load_datasets
from detectors.evaluate.progress import Progress
from detectors.evaluate.provenance import DataFile, data_files, machine, versions
from detectors.evaluate.scoring import inputs_of, score_all
from detectors.evaluate.threshold_choice import choose
from detectors.models.multitask import TASKS
from detectors.train.averaged_training import Log
from detectors.train.mixes import load_examples
from detectors.train.model_card import TrainingResult, model_card
from detectors.train.trainers import Trainer, find_trainer
from weir.quality.evaluation import EvaluationOptions, run_evaluation
from weir.quality.scoring import load_detectors

RECORD, FIGURES, CARD = "run.json", "figures.json", "MODEL_CARD.md"


class TrainingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A detector to train, the data folder, and the folder for the result.

    ``limit`` is the number of texts per source for the metrics. ``share`` is the length of the run as a share of a full run.
    """

    name: str
    data: Path
    out: Path
    seed: int = 0
    share: float = 1.0
    resume: bool = False
    limit: int = 300
    command: Sequence[str] = ()


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a training run; a run can be resumed only with the same inputs.

    ``sha256``, the digest of the weights, is None until the weights are complete.
    """

    detectors: tuple[str, ...]
    seed: int
    share: float = 1.0
    data: list[DataFile]
    at: str
    versions: Mapping[str, str]
    sha256: str | None = None


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def train(options: TrainingOptions, log: Log, progress: Progress) -> TrainingResult:
    """Train a detector, measure it on held-out texts, and write its files; raises DetectorError.

    The files are the weights, the run's record, the metrics and the model card.
    """
    recipe = find_trainer(options.name)
    weights = options.out / recipe.weights
    record = _record(options, recipe)
    if record.sha256 is None:
        log("reading the texts")
        recipe.train(options.data, weights, options.seed, options.share, log)
    (digest,) = data_files(options.out, [recipe.weights])
    if record.sha256 not in (None, digest.sha256):
        raise DataError(
            f"{weights} is not the file that the run in {options.out} wrote: name another folder with --out"
        )
    _write_json(options.out / RECORD, msgspec.structs.replace(record, sha256=digest.sha256))
    log(f"{weights} is complete, SHA-256 {digest.sha256}; measuring it")
    chosen = {name: dict(recipe.options(weights.resolve(), digest.sha256)) for name in recipe.detectors}
    for name, threshold in _thresholds(options, chosen, progress).items():
        chosen[name]["threshold"] = round(threshold, 4)
    report = run_evaluation(
        EvaluationOptions(
            names=recipe.detectors,
            data=options.data,
            limit=options.limit,
            cost=False,
            options=chosen,
        ),
        progress,
    )
    result = TrainingResult(
        name=options.name,
        sha256=digest.sha256,
        size_bytes=digest.size_bytes,
        seed=options.seed,
        command=shlex.join(options.command),
        at=record.at,
        machine=machine(),
        versions=record.versions,
        data=record.data,
        options=chosen,
        rows=[one.row for one in report.text],
    )
    _write_json(options.out / FIGURES, report.as_json())
    (options.out / CARD).write_text(model_card(result, recipe), encoding="utf-8")
    return result


def _record(options: TrainingOptions, recipe: Trainer) -> RunRecord:
    """Return a new record of this run, or the record of the run that it resumes."""
    path = options.out / RECORD
    fresh = RunRecord(
        detectors=recipe.detectors,
        seed=options.seed,
        share=options.share,
        data=data_files(
            options.data, [*recipe.files, *(name for name in recipe.optional if (options.data / name).is_file())]
        ),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )
    if path.exists():
        return _resumed(options, path, fresh)
    if (options.out / recipe.weights).exists():
        raise DataError(
            f"{options.out / recipe.weights} already exists; name another folder with --out, or move it away"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    _write_json(path, fresh)
    return fresh


def _resumed(options: TrainingOptions, path: Path, fresh: RunRecord) -> RunRecord:
    try:
        begun = msgspec.json.decode(path.read_bytes(), type=RunRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a record of a run ({error}); name another folder with --out") from error
    if not options.resume:
        raise DataError(
            f"{options.out} contains a run of {begun.at}: continue it with --resume, or name another folder with --out"
        )
    for field in ("detectors", "seed", "share"):
        before, now = getattr(begun, field), getattr(fresh, field)
        if before != now:
            raise DataError(
                f"{options.out} contains a run with {field} {before!r}, not {now!r}: use the same {field}, or another --out"
            )
    changed = [file.file for file in (*fresh.data, *begun.data) if file not in fresh.data or file not in begun.data]
    if changed:
        raise DataError(
            f"{changed[0]} has changed since the run in {options.out} began: name another folder with --out"
        )
    return begun


def _thresholds(
    options: TrainingOptions, chosen: Mapping[str, Mapping[str, Any]], progress: Progress
) -> dict[str, float]:
    """Return a threshold for each head of the shared encoder, chosen on the tune split."""
    names = [name for name in chosen if name in TASKS]
    if not names:
        return {}
    sets = load_datasets(options.data, names, options.limit, 0, "tune", load_examples=load_examples).sets
    if not sets:
        return {}
    scores = score_all(load_detectors(names, chosen), inputs_of(names, sets, {}), progress)
    found = {}
    for name in names:
        # Generated cases are in no split: they only measure.
        generated = {one.name for one in synthetic_sets(name)}
        sources = {
            one.name: (
                np.array([scores[name][case.input].score for case in one.cases]),
                np.array([bool(case.label) for case in one.cases]),
            )
            for one in sets
            if one.detector == name and one.name not in generated and not one.name.startswith(ALL_SOURCES)
        }
        found[name] = choose(sources)
    return found
