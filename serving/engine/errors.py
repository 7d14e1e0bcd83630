"""Errors of engines.

::

    EngineError
    ├── EngineClosedError          generate() after close(), or close() while a request was running
    ├── EngineUnavailableError     the kind, device or dtype is not available on this machine
    ├── GenerationFailedError      a step failed; its requests are lost, the engine goes on
    ├── ModelNotFoundError         the model is not installed and cannot be fetched
    ├── ModelInvalidError          the files differ from their digest or configuration
    └── PromptRejectedError        the prompt is empty, or with `max_tokens` longer than the context
"""

__all__ = [
    "EngineClosedError",
    "EngineError",
    "EngineUnavailableError",
    "GenerationFailedError",
    "ModelInvalidError",
    "ModelNotFoundError",
    "PromptRejectedError",
]


class EngineError(Exception):
    """Base of the errors that an engine raises on purpose."""


class EngineClosedError(EngineError):
    """The engine was closed."""


class EngineUnavailableError(EngineError):
    """The engine cannot run on this machine."""


class GenerationFailedError(EngineError):
    """A step failed; its requests are lost."""


class ModelNotFoundError(EngineError):
    """The model is not installed and cannot be fetched."""


class ModelInvalidError(EngineError):
    """The model's files are damaged or of another model."""


class PromptRejectedError(EngineError, ValueError):
    """The prompt is empty, or with `max_tokens` longer than the model's context."""
