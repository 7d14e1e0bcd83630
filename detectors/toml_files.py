"""Loading of the TOML files that are installed beside the modules that read them."""

from importlib.resources import files
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_toml(package: str, path: str, schema: type[T]) -> T:
    """Read and validate the TOML file at ``path`` in ``package``; return its content as an instance of ``schema``."""
    return msgspec.toml.decode(files(package).joinpath(path).read_bytes(), type=schema)
