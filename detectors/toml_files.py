"""Loading of the TOML files that are installed beside the modules that read them."""

from importlib.resources import files
from typing import TypeVar

import msgspec

__all__ = ["read_toml"]

T = TypeVar("T")


def read_toml(package: str, path: str, schema: type[T]) -> T:
    """Return the content of the TOML file at ``path`` in ``package`` as a ``schema``, which validates it."""
    return msgspec.toml.decode(files(package).joinpath(path).read_bytes(), type=schema)
