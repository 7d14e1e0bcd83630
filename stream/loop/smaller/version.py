"""Make a quantised or pruned version: the same folder, manifest, card and signature as a trained version has."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from stream.files import file_digest
from stream.loop.smaller.plan import Parent, Pruning
from stream.loop.smaller.quantise import PRECISIONS, Report, write_quantised
from stream.loop.smaller.text import load_passages, passages_digest, split
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import TrainingJob, VersionFolder, version_of
from stream.loop.training.manifest import Smaller, VersionManifest
from stream.loop.training.version import draft_of, existing_version, publish_version, releases

_QUANTISE_LIBRARIES = ("gguf",)
_PRUNE_LIBRARIES = ("gguf", "peft", "torch", "transformers")
_MIB = 1 << 20


def quantise(home: Path, parent: Parent, precision: str, report: Report) -> VersionManifest:
    """Make the version of `parent` with weights in `precision`; the same parent results in the same version.

    Raises TrainingError if the precision is unknown, the file is damaged or cannot be quantised, or the disk is full; then no version is published.
    """
    if precision not in PRECISIONS:
        raise TrainingError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    with _draft(home, parent) as draft:
        write_quantised(parent.weights, draft.merged, precision, report)
        smaller = Smaller(source_digest=file_digest(parent.weights))
        return _published(home, draft, parent.job(precision), smaller, _size_of(parent))


def prune(home: Path, parent: Parent, plan: Pruning, report: Report) -> VersionManifest:
    """Make the version of `parent` without some layers, after a distillation.

    Raises TrainingError if the number of layers is out of range, a file is damaged, the distillation diverges, or the disk is full; then no version
    is published.
    """
    from stream.loop.smaller.prune import write_pruned  # noqa: PLC0415 - quantising needs no torch

    passages = load_passages(plan.text)
    with _draft(home, parent) as draft:
        removed, numbers = write_pruned(parent.weights, draft.merged, plan, split(passages)[0], report)
        smaller = Smaller(
            source_digest=file_digest(parent.weights), removed_layers=removed, text_digest=passages_digest(passages)
        )
        return _published(home, draft, plan.job, smaller, numbers | _size_of(parent))


@contextlib.contextmanager
def _draft(home: Path, parent: Parent) -> Iterator[VersionFolder]:
    """Return an empty folder; an error of the disk is a TrainingError that names the space, and deletes the folder."""
    try:
        with draft_of(home) as draft:
            yield draft
    except (OSError, SafetensorError) as error:
        folder = VersionFolder.of(home, "").path
        free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
        raise TrainingError(
            f"the version cannot be written to {folder} ({error}; {free // _MIB} MiB are free, "
            f"the parent has {parent.weights.stat().st_size // _MIB} MiB); free space and run the command again"
        ) from error


def _size_of(parent: Parent) -> dict[str, float]:
    return {"parent_size_bytes": float(parent.weights.stat().st_size)}


def _published(
    home: Path, draft: VersionFolder, job: TrainingJob, smaller: Smaller, numbers: dict[str, float]
) -> VersionManifest:
    """Publish the folder; return the present manifest if this version exists and verifies.

    Raises TrainingError if the version belongs to another tenant or model.
    """
    digest = file_digest(draft.merged)
    if (known := existing_version(home, version_of(digest), job)) is not None:
        return known
    manifest = VersionManifest(
        version=version_of(digest),
        job=job,
        adapter_digest="",
        weights_digest=digest,
        numbers=numbers | {"size_bytes": float(draft.merged.stat().st_size)},
        libraries=releases(_PRUNE_LIBRARIES if smaller.removed_layers else _QUANTISE_LIBRARIES),
        files={},
        smaller=smaller,
    )
    return publish_version(home, draft, manifest)
