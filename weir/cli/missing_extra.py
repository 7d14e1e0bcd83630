"""Commands that need an optional extra: what is missing is one line that says how to install it."""

import contextlib
from collections.abc import Iterator

from detectors.errors import DetectorError
from weir.errors import WeirError

__all__ = ["needing"]


@contextlib.contextmanager
def needing(command: str, extras: str) -> Iterator[None]:
    """Run the body, which imports libraries of ``extras``; a missing one, or an error of a detector, is shown as one line.

    Raises
    ------
    WeirError
        A library is not installed, or the body raised a `DetectorError`.
    """
    try:
        yield
    except DetectorError as error:  # first: one of them is an ImportError too
        raise WeirError(str(error)) from error
    except ModuleNotFoundError as error:
        raise WeirError(
            f"{command} needs {error.name}, which is not installed: pip install 'weir-llm[{extras}]'"
        ) from error
