"""Errors of commands that need an optional extra."""

import contextlib
from collections.abc import Iterator

from weir.errors import WeirError


@contextlib.contextmanager
def needing(command: str, extras: str) -> Iterator[None]:
    """Convert a ModuleNotFoundError of the ``with`` body to a WeirError, whose message says to install `extras`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise WeirError(
            f"{command} needs {error.name}, which is not installed: pip install 'weir-llm[{extras}]'"
        ) from error
