"""Errors of serving, except those of engines (:mod:`serving.engine.errors`) and HTTP (:mod:`serving.openai_api.errors`).

::

    ServingError
    ├── CaptureError
    │   ├── SpoolFull           no room for another request, and the policy is `reject`
    │   └── SpoolUnavailable    the spool's directory cannot be made, locked or written at start
    ├── IntakeError
    │   ├── UnreadablePayload   a payload has no known format; the message contains its field names, never its text
    │   └── HalvesFull          too many requests wait for their response, or responses for their request
    ├── RayLocalError           Ray cannot be started here: a path is too long, a port or a program is missing
    └── DriverError             Ray cannot be reached, or the application cannot be deployed
"""

__all__ = [
    "CaptureError",
    "DriverError",
    "HalvesFull",
    "IntakeError",
    "RayLocalError",
    "ServingError",
    "SpoolFull",
    "SpoolUnavailable",
    "UnreadablePayload",
]


class ServingError(Exception):
    """Base of all expected errors of serving."""


class CaptureError(ServingError):
    """Base of the errors of capture."""


class SpoolFull(CaptureError):
    """A request was not accepted, because it could not be recorded; the response must be 503 with ``Retry-After``."""

    retry_after_seconds = 5


class SpoolUnavailable(CaptureError):
    """The spool cannot be opened."""


class IntakeError(ServingError):
    """Base of the errors of intake."""


class UnreadablePayload(IntakeError):
    """A payload cannot be read; the response must be 4xx with this error's message."""


class HalvesFull(IntakeError):
    """Too many requests without a response, or responses without a request, are stored.

    The client of intake must get 503 with ``Retry-After``.
    """


class RayLocalError(ServingError):
    """Ray cannot be started here."""


class DriverError(ServingError):
    """Ray cannot be reached, or the application cannot be deployed; the supervisor should start the driver again."""
