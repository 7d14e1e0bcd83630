"""Reads a file of a dataset and checks it against the manifest. The imports are few, for training and the gate."""

import hashlib
from pathlib import Path

import msgspec

from stream.errors import DatasetDamaged


class _Manifest(msgspec.Struct, frozen=True):
    files: dict[str, str]


def read_checked(path: Path) -> bytes:
    """Return the content of a dataset's file; raises DatasetDamaged if manifest.json beside the file has another SHA-256."""
    try:
        content = path.read_bytes()
        manifest = msgspec.json.decode((path.parent / "manifest.json").read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetDamaged(
            f"{path} or its manifest.json cannot be read ({error}); build the dataset again with `weir dataset build`"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != (stated := manifest.files.get(path.name, "")):
        raise DatasetDamaged(
            f"{path} has the SHA-256 {digest}, its manifest.json says {stated!r}; build the dataset again with"
            " `weir dataset build`"
        )
    return content
