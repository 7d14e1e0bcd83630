"""The manifest of a model version."""

from pathlib import Path

import msgspec

from stream.loop.training.errors import TrainingError
from stream.loop.training.job import TrainingJob, VersionFolder


class Smaller(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of a quantised or pruned version.

    Parameters
    ----------
    source_digest
        SHA-256 of the GGUF file of the parent.
    removed_layers
        Numbers of the parent's layers that this version does not have, from 0.
    text_digest
        SHA-256 of the passages of the distillation; "" without distillation.
    """

    source_digest: str
    removed_layers: tuple[int, ...] = ()
    text_digest: str = ""


class VersionManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The origin and the files of a version; `files` is {path: SHA-256}, and `numbers` are the measurements of its training.

    `weights_digest` is the SHA-256 of ``model.gguf``, or "" if the version has no such file; `adapter_digest` is "" for a quantised or pruned
    version, and `smaller` is None for a trained one. `libraries` is {name: release}.
    """

    version: str
    job: TrainingJob
    adapter_digest: str
    weights_digest: str
    numbers: dict[str, float]
    libraries: dict[str, str]
    files: dict[str, str]
    smaller: Smaller | None = None


def read_version(home: Path, version: str) -> VersionManifest:
    """Return the manifest of `version`; raises TrainingError if the version does not exist or its manifest is damaged."""
    folder = VersionFolder.of(home, version)
    try:
        return msgspec.json.decode(folder.manifest.read_bytes(), type=VersionManifest)
    except FileNotFoundError:
        raise TrainingError(
            f"there is no version {version} in {folder.path.parent}; give the name of a folder there, or train a version with `weir train`"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{folder.manifest} is damaged ({error}); delete {folder.path} and train again") from None
