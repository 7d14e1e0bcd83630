"""Provenance of metrics and weights: digests of data files, versions of libraries, and the machine."""

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path

import msgspec

from detectors.errors import DataError

#: Libraries whose version can change a score.
LIBRARIES = (
    "weir-llm",
    "numpy",
    "scikit-learn",
    "torch",
    "tokenizers",
    "safetensors",
    "spacy",
    "presidio-analyzer",
    "phonenumbers",
    "google-re2",
)
CPU = Path("/proc/cpuinfo")


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read: its name (relative to the data folder if the file is in this folder), size and SHA-256."""

    file: str
    size_bytes: int
    sha256: str


def data_files(root: Path, names: Iterable[str]) -> list[DataFile]:
    """Return the digest of each file under ``root``; raise DataError if a file cannot be read."""
    result = []
    for name in names:
        try:
            data = (root / name).read_bytes()
        except OSError as error:
            raise DataError(
                f"cannot read {root / name}: {error.strerror}; docs/detectors.md lists the files and their layout"
            ) from error
        result.append(DataFile(file=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
    return result


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries of `LIBRARIES`."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """Return the processor's name and the number of cores that this process may use."""
    lines = CPU.read_text(encoding="utf-8").splitlines() if CPU.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores"
