"""The manifest of a model version."""

from pathlib import Path

import msgspec

from stream.loop.training.errors import TrainingError
from stream.loop.training.job import TrainingJob, VersionFolder

__all__ = ["VersionManifest", "read_version"]


class VersionManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a version was made from; `files` is {path in the folder: SHA-256}, and `numbers` those of its training.

    `weights_digest` is that of the merged weights, or "" without them. `libraries` is {name: release}.
    """

    version: str
    job: TrainingJob
    adapter_digest: str
    weights_digest: str
    numbers: dict[str, float]
    libraries: dict[str, str]
    files: dict[str, str]


def read_version(home: Path, version: str) -> VersionManifest:
    """Return the manifest of `version`; raises TrainingError if the version does not exist or its manifest is damaged."""
    folder = VersionFolder.of(home, version)
    try:
        return msgspec.json.decode(folder.manifest.read_bytes(), type=VersionManifest)
    except FileNotFoundError:
        raise TrainingError(f"there is no version {version} in {folder.path.parent}") from None
    except msgspec.DecodeError as error:
        raise TrainingError(f"{folder.manifest} is damaged ({error}); delete {folder.path} and train again") from None
