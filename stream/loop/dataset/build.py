"""Builds a dataset: reads pinned ranges, curates, and writes rows, card, description, report and manifest."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from stream.archive.segments import Archive
from stream.errors import DatasetRefused
from stream.files import file_digest, replace_file
from stream.kafka.clients import needs_kafka
from stream.loop.cases import digest_of_cases, load_safety, load_tasks
from stream.loop.dataset.card import card, croissant
from stream.loop.dataset.curate import Curated, curate
from stream.loop.dataset.exchanges import ExchangeJoin
from stream.loop.dataset.files import (
    Counts,
    Manifest,
    find,
    folder_of,
    read_manifest,
    read_rows,
    verify,
    write_manifest,
    write_rows,
)
from stream.loop.dataset.log import DatasetRequest, read_exchanges
from stream.loop.dataset.report import languages_of, report
from stream.loop.dataset.rows import Row
from stream.loop.dataset.scanner import Scanner
from stream.loop.settings import DatasetSettings, GateSettings, LoopSettings, loop_settings
from stream.settings import KafkaSettings

_SAMPLES = 20
_LIBRARIES = {"weir": "weir-llm", "datasketch": "datasketch", "numpy": "numpy"}


class BuildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the stack that a build needs.

    `tenants` is {name or pattern: settings}, `options` has the options of the detectors, `archive` is the address of
    the archive or "".
    """

    home: Path
    kafka: KafkaSettings
    tenants: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Mapping[str, Any]]
    archive: str = ""

    def opened(self) -> Archive | None:
        """Return the archive, or None if no archive is set."""
        return Archive(self.archive) if self.archive else None


Progress = Callable[[int, int], None]


def build(settings: BuildSettings, request: DatasetRequest, progress: Progress) -> Path:
    """Build the dataset of `request` and return its folder; starts its own event loop.

    Raises DatasetRefused if the log does not contain enough, LogExpired if a part of the pinned ranges was deleted,
    GateError if a file of the gate's prompts is missing or invalid, and BrokerError.
    """
    loop = loop_settings(settings.tenants, request.tenant)
    join = _read(settings, request, progress)
    scanner = Scanner(settings.options)
    curated = _curated(settings.home, request, join, loop, scanner)
    if reasons := refusals(curated, loop.dataset):
        raise DatasetRefused(_refusal(request, curated, join.unmatched, reasons))
    return write(settings.home, request, curated, loop, scanner.versions, join.unmatched)


def rebuilt(settings: BuildSettings, folder: Path, progress: Progress) -> str:
    """Build the dataset in `folder` again from its ranges and settings, write nothing, and return the digest."""
    manifest = read_manifest(folder)
    request = msgspec.convert(manifest, DatasetRequest, from_attributes=True)
    values = dict(manifest.settings)
    method = values.pop("method")
    present = loop_settings(settings.tenants, request.tenant)
    loop = present.model_copy(
        update={
            "dataset": DatasetSettings.model_validate(values),
            "train": present.train.model_copy(update={"method": method}),
        }
    )
    join = _read(settings, request, progress)
    return _curated(settings.home, request, join, loop, Scanner(settings.options)).digest


def _read(settings: BuildSettings, request: DatasetRequest, progress: Progress) -> ExchangeJoin:
    with needs_kafka(settings.kafka.bootstrap_servers):
        return asyncio.run(read_exchanges(settings.kafka, request, progress, settings.opened()))


def _curated(home: Path, request: DatasetRequest, join: ExchangeJoin, loop: LoopSettings, scanner: Scanner) -> Curated:
    tasks, safety = load_tasks(loop.gate.eval_set), load_safety(loop.gate.safety_set)
    old, old_authors = _old_rows(home, request.parent) if loop.dataset.replay_share else ([], {})
    return curate(
        join.exchanges(),
        loop.dataset,
        loop.train.method,
        scanner,
        held_out=[*(task.prompt for task in tasks), *(prompt.prompt for prompt in safety)],
        old=old,
        old_authors=old_authors,
    )


def refusals(curated: Curated, settings: DatasetSettings) -> list[str]:
    """Return the reasons why the rows are too few for a dataset, each with the found and the required number."""
    rows, keys = sum("#" not in row.id for row in curated.train), len(curated.principals)  # no copies of `augment`
    found = []
    if rows < settings.min_examples:
        found.append(f"rows to train on: has {rows}, needs {settings.min_examples} (min_examples)")
    if keys < settings.min_principals:
        found.append(f"API keys that reviewed the rows: has {keys}, needs {settings.min_principals} (min_principals)")
    return found


def write(  # noqa: PLR0913, PLR0917 - what a manifest contains
    home: Path,
    request: DatasetRequest,
    curated: Curated,
    loop: LoopSettings,
    detectors: Mapping[str, str],
    unmatched: int = 0,
) -> Path:
    """Write the files of a dataset and return its folder; the same rows result in the same folder."""
    folder = folder_of(home, curated.digest)
    write_rows(folder, curated.train, curated.eval)
    parent = request.parent if loop.dataset.replay_share else ""
    old_reviewers = read_manifest(find(home, parent)).reviewers if parent else {}
    reviewers = old_reviewers | curated.reviewers
    manifest = Manifest(
        digest=curated.digest,
        retraining_id=request.retraining_id,
        tenant=request.tenant,
        model=request.model,
        ranges=request.ranges,
        versions=request.versions | _versions(detectors, loop.gate),
        counts=Counts(train=len(curated.train), eval=len(curated.eval), dropped=curated.dropped),
        settings={**loop.dataset.model_dump(mode="json"), "method": loop.train.method},
        bounds=curated.bounds,
        principals=curated.principals,
        authors=curated.authors,
        reviewers={name: reviewers[name] for name in curated.authors if name in reviewers},
        parent=parent,
        unmatched=unmatched,
    )
    splits = {name: len(rows) for name, rows in (("train", curated.train), ("eval", curated.eval))}
    named = {f"{name}.parquet": file_digest(folder / f"{name}.parquet") for name, rows in splits.items() if rows}
    others = {
        "card.md": card(manifest, languages_of(curated.facts)),
        "croissant.json": croissant(msgspec.structs.replace(manifest, files=named)),
        "report.html": report(manifest, curated.facts),
        "samples.jsonl": _samples(curated.train),
    }
    for name, text in others.items():
        replace_file(folder / name, text, durable=True)
    written = {name: file_digest(folder / name) for name in (*(f"{split}.parquet" for split in splits), *others)}
    write_manifest(folder, msgspec.structs.replace(manifest, files=written))
    return folder


def _refusal(request: DatasetRequest, curated: Curated, unmatched: int, reasons: list[str]) -> str:
    dropped = ", ".join(f"{number} {reason}" for reason, number in curated.dropped.items()) or "none"
    bounds = "; ".join(f"{one.name} of {one.of}: {one.found} found, {one.kept} kept" for one in curated.bounds[:5])
    return (
        f"no dataset for {request.model} of tenant {request.tenant}: {'; '.join(reasons)}. Left out: {dropped}; judgments without"
        f" a request of this model in the range: {unmatched}{f'; bounds: {bounds}' if bounds else ''}. Collect more feedback or corrections, choose a longer"
        f' range, or change [tenants."{request.tenant}".loop.dataset]'
    )


def _old_rows(home: Path, parent: str) -> tuple[list[Row], dict[str, str]]:
    """Return the rows to train on of the dataset `parent`, and their authors; raises DatasetDamaged if it is missing."""
    if not parent:
        return [], {}
    folder = find(home, parent)
    authors = verify(folder).authors
    return read_rows(folder, "train"), authors


def _versions(detectors: Mapping[str, str], gate: GateSettings) -> dict[str, str]:
    found = {f"scanner:{name}": number for name, number in sorted(detectors.items())}
    for name, package in _LIBRARIES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = "unknown"
    found["gate.eval_set"] = digest_of_cases(load_tasks(gate.eval_set))
    found["gate.safety_set"] = digest_of_cases(load_safety(gate.safety_set))
    return found


def _samples(rows: tuple[Row, ...]) -> str:
    """Return some rows as JSON Lines, for people who may read content."""
    chosen = sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).digest())[:_SAMPLES]
    return "".join(json.dumps(row.columns(), ensure_ascii=False) + "\n" for row in chosen)
