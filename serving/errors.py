"""What serving raises on purpose.

::

    ServingError
    └── CaptureError
        ├── SpoolFull          no room for another request, and the policy is `reject`
        └── SpoolUnavailable   the spool's directory cannot be made, locked or written at start

The engines' own tree is in :mod:`serving.engine.errors`.
"""

__all__ = ["CaptureError", "ServingError", "SpoolFull", "SpoolUnavailable"]


class ServingError(Exception):
    """Base of every error that serving raises on purpose."""


class CaptureError(ServingError):
    """Base of the errors of capture."""


class SpoolFull(CaptureError):
    """A request was not accepted, because it could not be recorded; answer 503 with ``Retry-After``.

    Parameters
    ----------
    message
        What is full, its size and its bound.
    retry_after_seconds
        What to put in ``Retry-After``.
    """

    def __init__(self, message: str, *, retry_after_seconds: int = 5) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SpoolUnavailable(CaptureError):
    """The spool cannot be opened; the message names its path and the remedy."""
