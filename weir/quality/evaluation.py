"""Measure detectors on labelled data in this process, for ``weir eval``, without Kafka or a server."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import ConfigError, DataError
from detectors.evaluate.datasets import Datasets, load_datasets, sample
from detectors.evaluate.evaluation import Evaluated, evaluate, measure_cost
from detectors.evaluate.labelled import LabelledSet
from detectors.evaluate.progress import Progress
from detectors.evaluate.provenance import data_files, machine, versions
from detectors.evaluate.studies.context import StudyContext
from detectors.evaluate.studies.registry import find_study
from detectors.evaluate.user_file import parse_columns, read_cases
from detectors.models.multitask import TASKS
from detectors.registry import STREAM, TEXT, create
from detectors.train.mixes import load_examples
from weir.quality.scoring import load_detectors

#: The detector that is measured on texts with marked spans.
SPANS_DETECTOR = "pii"


class EvaluationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The detectors and studies to measure, and the data: a folder of labelled sets, or one labelled file.

    If `names` and `studies` are empty, all detectors are measured. If `names` contains a stream detector, its study is
    run. `limit` is the maximum number of texts per source (0: all). `runs` is the number of simulated streams per row
    of a study. `file_split` is the split of `file` if this is the folder of a data set.
    Detectors that `options` does not name use the shipped options.
    """

    names: Sequence[str] = ()
    studies: Sequence[str] = ()
    data: Path | None = None
    file: Path | None = None
    columns: str = ""
    positive: Sequence[str] = ()
    limit: int = 300
    seed: int = 0
    runs: int = 40
    cost: bool = True
    file_split: str = ""
    options: Mapping[str, Mapping[str, Any]] = {}


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics and curves of text detectors, the rows of studies, and their provenance.

    ``absent`` lists known files that are missing, ``left_out`` the errors of detectors that need to be configured first, and
    of studies without their file.
    """

    text: Sequence[Evaluated]
    streams: Sequence[Mapping[str, Any]]
    absent: Sequence[str]
    left_out: Sequence[str]
    provenance: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the content of ``--json``, without texts and without curves except the reliability curve."""
        detectors = [one.row for one in self.text]
        missing = {"absent": self.absent, "left_out": self.left_out}
        return {**self.provenance, **missing, "detectors": detectors, "streams": self.streams}


def run_evaluation(options: EvaluationOptions, progress: Progress) -> EvaluationReport:
    """Read the data, score each text once, measure the cost of each detector, and run the studies; raises DetectorError."""
    begun = datetime.now(UTC)
    text, studies = _names(options)
    for name in (*text, *(find_study(one).detector for one in studies)):
        create(name, options.options.get(name))  # a wrong name or option fails before any work
    datasets = Datasets(sets=[], ordinary={}, files=[], absent=[])  # a study reads its own files, if it needs any
    if text:
        progress("reading the data", 0, 0)
        datasets = _own_file(options, text) if options.file else _folder(options, text)
    evaluated, left_out = _evaluated(options, text, datasets, progress) if text else ([], [])
    rows: list[Mapping[str, Any]] = []
    context = StudyContext(options.data or Path(), options.runs, options.seed, progress)
    for name in studies:
        try:
            rows += find_study(name).run(context)
        except FileNotFoundError as error:
            if options.data is None:
                raise DataError(
                    f"{name} reads {error.filename} of the data folder: name the folder with --data"
                ) from error
            if options.names or options.studies:
                raise
            left_out.append(f"{name}: there is no file {error.filename}")
    provenance = {
        "at": begun.isoformat(timespec="seconds"),
        "seed": options.seed,
        "limit": options.limit,
        "runs": options.runs,
        "machine": machine(),
        "versions": versions(),
        "data": _files(options, datasets),
    }
    return EvaluationReport(
        text=evaluated, streams=rows, absent=datasets.absent, left_out=left_out, provenance=provenance
    )


def _names(options: EvaluationOptions) -> tuple[list[str], list[str]]:
    """Return the text detectors to measure, and the studies to run."""
    names = list(dict.fromkeys(options.names))
    if options.file is None:
        names = names or ([] if options.studies else [*TEXT, *STREAM])
        studies = dict.fromkeys([*(name for name in names if name in STREAM), *options.studies])
        return [name for name in names if name not in STREAM], list(studies)
    if options.studies:
        raise DataError(f"the study {options.studies[0]} reads --data, not --file: leave --study or --file out")
    if not names and parse_columns(options.columns).spans:
        names = [SPANS_DETECTOR]
    if not names:
        raise DataError(f"no detector is named for these texts: name one with --detector: {', '.join(TEXT)}")
    streams = [name for name in names if name in STREAM]
    if streams:
        raise DataError(
            f"{streams[0]} reads a stream, not labelled texts: leave --file out, or name one of {', '.join(TEXT)}"
        )
    return names, []


def _own_file(options: EvaluationOptions, names: Sequence[str]) -> Datasets:
    assert options.file is not None
    cases = read_cases(options.file, parse_columns(options.columns), options.positive, options.file_split)
    cases = sample(cases, options.limit, options.seed)
    sets = [LabelledSet(detector=name, name=options.file.name, cases=cases) for name in names]
    if options.data is None:
        return Datasets(sets=sets, ordinary={}, files=[], absent=[])
    # Of the folder: the ordinary prompts, without those that the shared encoder's detectors were trained on.
    return msgspec.structs.replace(_folder(options, [name for name in names if name in TASKS]), sets=sets)


def _folder(options: EvaluationOptions, names: Sequence[str]) -> Datasets:
    if options.data is None:
        raise DataError(
            "no data to measure on: name the folder of the labelled sets with --data, or a file with --file and --columns"
        )
    return load_datasets(options.data, names, options.limit, options.seed, load_examples=load_examples)


def _files(options: EvaluationOptions, datasets: Datasets) -> list[Any]:
    files: list[Any] = []
    if options.file:
        inside = (
            sorted(path for path in options.file.rglob("*") if path.is_file())
            if options.file.is_dir()
            else [options.file]
        )
        files = data_files(options.file.parent, [str(path.relative_to(options.file.parent)) for path in inside])
    return files + (data_files(options.data, datasets.files) if options.data else [])


def _evaluated(
    options: EvaluationOptions, names: Sequence[str], datasets: Datasets, progress: Progress
) -> tuple[list[Evaluated], list[str]]:
    """Return the metrics of each detector, and the errors of detectors that are not configured.

    If the user named the detectors, such an error is raised instead.
    """
    detectors, left_out = [], []
    for index, name in enumerate(names):
        progress("loading detectors", index, len(names))
        try:
            detectors += load_detectors([name], options.options)
        except ConfigError as error:
            if options.names:
                raise
            left_out.append(str(error))
    results = evaluate(detectors, datasets.sets, datasets.ordinary, progress)
    for index, (result, detector) in enumerate(zip(results, detectors, strict=True)):
        if options.cost:
            progress("measuring the cost", index, len(detectors))
            result.row["cost"] = measure_cost(detector, datasets.sets, datasets.ordinary)
    return results, left_out
