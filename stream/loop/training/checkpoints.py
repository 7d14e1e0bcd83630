"""Checkpoints that survive kill -9 and a power loss at any moment.

transformers writes its checkpoints in place, and resumes from the checkpoint with the highest number without a check. So Weir passes a draft folder
to transformers; :func:`seal` writes all files to disk, adds a manifest with their digests, and renames the folder.
"""

import shutil
from pathlib import Path

import msgspec

from stream.files import file_digest, replace_folder, write_json

_MANIFEST = "weir-checkpoint.json"
_PREFIX = "checkpoint-"
_KEPT = 2


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    seconds: float
    files: dict[str, str]
    numbers: dict[str, float] = {}


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A complete checkpoint; `seconds` is the training time before it, and `numbers` are the measurements of its step."""

    path: Path
    seconds: float
    numbers: dict[str, float]


def describe(draft: Path, *, key: str, seconds: float, numbers: dict[str, float]) -> None:
    """Add a manifest with the digests of all files to the folder `draft`.

    `key` is the key of the job (:meth:`TrainingJob.weights_key`).
    """
    digests = {str(path.relative_to(draft)): file_digest(path) for path in sorted(draft.rglob("*")) if path.is_file()}
    manifest = _Manifest(key=key, seconds=seconds, files=digests, numbers=numbers)
    write_json(draft / _MANIFEST, manifest, durable=True)


def read_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """Return the checkpoint of the job `key` in the folder `path`, or None if a file does not have its digest."""
    manifest = _manifest(path)
    if manifest is None or manifest.key != key:
        return None
    try:
        intact = all(file_digest(path / name) == digest for name, digest in manifest.files.items())
    except OSError:
        return None
    return Checkpoint(path=path, seconds=manifest.seconds, numbers=manifest.numbers) if intact else None


def seal(draft: Path, checkpoints: Path, *, key: str, seconds: float, numbers: dict[str, float]) -> None:
    """Move the complete folder `draft` to `checkpoints`, and delete all but the two newest checkpoints of the job `key`.

    The other arguments are the arguments of :func:`describe`. Raises OSError if the disk is full or fails.
    """
    describe(draft, key=key, seconds=seconds, numbers=numbers)
    replace_folder(checkpoints / draft.name, draft)  # an existing checkpoint of this step does not verify
    known = _newest_first(checkpoints)
    kept = [path for path in known if (manifest := _manifest(path)) is not None and manifest.key == key][:_KEPT]
    for path in known:
        if path not in kept:
            shutil.rmtree(path)


def newest_checkpoint(checkpoints: Path, key: str) -> Checkpoint | None:
    """Return the newest checkpoint of the job `key` whose files all have their digests, or None."""
    read = (read_checkpoint(path, key) for path in _newest_first(checkpoints))
    return next(filter(None, read), None)


def step_of(checkpoint: Path) -> int:
    """Return the number of the last step before `checkpoint`."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def _newest_first(checkpoints: Path) -> list[Path]:
    return sorted(checkpoints.glob(f"{_PREFIX}*"), key=step_of, reverse=True)


def _manifest(path: Path) -> _Manifest | None:
    try:
        return msgspec.json.decode((path / _MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
