"""Errors of serving, except those of engines (:mod:`serving.engine.errors`) and HTTP (:mod:`serving.openai_api.errors`)."""

import logging
import traceback


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


def log_failure(log: logging.Logger, what: str, error: Exception) -> None:
    """Log that `what` failed with an unexpected error: its class and traceback, without its message, which may contain text of a request."""
    log.error("%s failed: %s\n%s", what, type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
