"""Errors of serving, except those of engines (:mod:`serving.engine.errors`) and HTTP (:mod:`serving.openai_api.errors`)."""


class ServingError(Exception):
    """Base of all expected errors of serving."""


class CaptureError(ServingError):
    """Base of the errors of capture."""


class SpoolFull(CaptureError):
    """The spool has no room for another request, and the policy is `reject`; the response must be 503 with ``Retry-After``."""

    retry_after_seconds = 5


class SpoolUnavailable(CaptureError):
    """The spool's directory cannot be made, locked or written at start."""


class UnreadablePayload(ServingError):
    """A payload has no known format; the response must be 4xx with this error's message, which has names of fields, never text."""


class HalvesFull(ServingError):
    """Too many requests without a response, or responses without a request, are stored.

    The client of intake must get 503 with ``Retry-After``.
    """


class RayLocalError(ServingError):
    """Ray cannot be started here: a path is too long, a port or a program is missing."""


class DriverError(ServingError):
    """Ray cannot be reached, or the application cannot be deployed; the supervisor should start the driver again."""
