"""``weir eval``'s work: detectors measured on labelled data in this process; no broker, no server."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import ConfigError, DataError
from detectors.evaluate.datasets import SHIPPED_SEED, Known, known_sets, ordinary_prompts, sample
from detectors.evaluate.labelled import LabelledSet
from detectors.evaluate.progress import Progress
from detectors.evaluate.provenance import data_files, machine, versions
from detectors.evaluate.report import Evaluated, evaluate, measure_cost
from detectors.evaluate.studies import study
from detectors.evaluate.user_file import parse_columns, read_cases
from detectors.registry import STREAM, TEXT, create
from detectors.train.datasets import ORDINARY
from weir.quality.scoring import load_detectors

__all__ = ["Asked", "Report", "run"]

#: Marked personal data is what this detector looks for.
SPANS_DETECTOR = "pii"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured, on what: a folder of known sets, or one labelled file (and ordinary prompts of the folder).

    Attributes
    ----------
    names
        Detectors; empty for every one that the data can measure, or for none where studies are named.
    studies
        Studies of stream detectors, beside those that are named like one of ``names``.
    limit
        Texts a source, at most; 0 takes all.
    runs
        Simulated streams a row.
    split
        Which split of the shared encoder's sources is read, and the seed that it was trained with.
    options
        Detector → its options; what is left out takes what is shipped.
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
    split: tuple[str, int] = ("test", SHIPPED_SEED)
    options: Mapping[str, Mapping[str, Any]] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of text detectors (with their curves), rows of stream detectors, and what they come from.

    ``absent`` are known files that are not there, ``left_out`` says which detectors want to be configured first.
    """

    text: Sequence[Evaluated]
    streams: Sequence[Mapping[str, Any]]
    absent: Sequence[str]
    left_out: Sequence[str]
    provenance: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes: no texts, no curves but the reliability."""
        detectors = [one.row for one in self.text]
        missing = {"absent": self.absent, "left_out": self.left_out}
        return {**self.provenance, **missing, "detectors": detectors, "streams": self.streams}


def run(asked: Asked, progress: Progress) -> Report:
    """Read the data, score every text once, measure the cost of each detector.

    Raises
    ------
    detectors.errors.DetectorError
        The data cannot be read as asked, a detector or an option is unknown, or weights are missing.
    """
    begun = datetime.now(UTC)
    progress("reading the data", 0, 0)
    text, stream = _names(asked)
    for name in (*text, *(study(one).detector for one in stream)):
        create(name, asked.options.get(name))  # a name or an option that is wrong, before any work
    known = _own_file(asked, text) if asked.file else _folder(asked, text)
    evaluated, left_out = _text(asked, text, known, progress) if text else ([], [])
    rows = list(_streams(asked, stream, progress))
    provenance = {
        "at": begun.isoformat(timespec="seconds"),
        "seed": asked.seed,
        "limit": asked.limit,
        "runs": asked.runs,
        "machine": machine(),
        "versions": versions(),
        "data": _files(asked, known),
    }
    return Report(text=evaluated, streams=rows, absent=known.absent, left_out=left_out, provenance=provenance)


def _names(asked: Asked) -> tuple[list[str], list[str]]:
    """Return the text detectors to measure, and the studies of stream detectors."""
    names = list(dict.fromkeys(asked.names))
    if asked.file is None:
        names = names or ([] if asked.studies else [*TEXT, *STREAM])
        studies = dict.fromkeys([*(name for name in names if name in STREAM), *asked.studies])
        return [name for name in names if name not in STREAM], list(studies)
    if not names and parse_columns(asked.columns).spans:
        names = [SPANS_DETECTOR]
    if not names:
        raise DataError(f"which detector should flag these texts? Name one with --detector: {', '.join(TEXT)}")
    streams = [name for name in names if name in STREAM]
    if streams:
        raise DataError(
            f"{streams[0]} reads a stream, not labelled texts: leave --file out, or name one of {', '.join(TEXT)}"
        )
    return names, []


def _own_file(asked: Asked, names: Sequence[str]) -> Known:
    assert asked.file is not None
    cases = sample(read_cases(asked.file, parse_columns(asked.columns), asked.positive), asked.limit, asked.seed)
    sets = [LabelledSet(detector=name, name=asked.file.name, cases=cases) for name in names]
    ordinary = ordinary_prompts(asked.data, asked.limit, asked.seed) if asked.data else []
    files = [file for file in ORDINARY.values() if asked.data and (asked.data / file).is_file()]
    return Known(sets=sets, ordinary=ordinary, files=files, absent=[])


def _folder(asked: Asked, names: Sequence[str]) -> Known:
    if asked.data is None:
        raise DataError(
            "nothing to measure on: name a folder of known sets with --data, or a file with --file and --columns"
        )
    return known_sets(asked.data, names, asked.limit, asked.seed, asked.split)


def _files(asked: Asked, known: Known) -> list[Any]:
    files = data_files(asked.file.parent, [asked.file.name]) if asked.file else []
    return files + (data_files(asked.data, known.files) if asked.data else [])


def _text(asked: Asked, names: Sequence[str], known: Known, progress: Progress) -> tuple[list[Evaluated], list[str]]:
    """Return the figures of each detector, and which were left out: nobody named them, and they want to be configured first."""
    detectors, left_out = [], []
    for index, name in enumerate(names):
        progress("loading detectors", index, len(names))
        try:
            detectors += load_detectors([name], asked.options)
        except ConfigError as error:
            if asked.names:
                raise
            left_out.append(str(error))
    results = evaluate(detectors, known.sets, known.ordinary, progress)
    for index, (result, detector) in enumerate(zip(results, detectors, strict=True)):
        if asked.cost:
            progress("measuring the cost", index, len(detectors))
            result.row["cost"] = measure_cost(detector, known.sets, known.ordinary)
    return results, left_out


def _streams(asked: Asked, names: Sequence[str], progress: Progress) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for index, name in enumerate(names):
        progress("simulating streams", index, len(names))
        if asked.data:
            rows += study(name).run(asked.data, asked.runs, asked.seed)
    return rows
