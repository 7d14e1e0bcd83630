"""Errors of engines.

::

    EngineError
    ├── EngineClosedError          generate() after close(), or close() while a request was running
    ├── EngineUnavailableError     the engine, device or dtype is not available on this machine
    ├── GenerationFailedError      a generation step failed: its requests are lost, the engine continues
    ├── ModelNotFoundError         the model is not installed and cannot be fetched
    ├── ModelInvalidError          the files are incomplete, damaged or of another model
    ├── PromptRejectedError        the prompt is empty, too long with `max_tokens`, or rejected by the chat template
    └── SchemaRejectedError        the JSON Schema of the answer is invalid, or has a keyword that the engine cannot follow
"""

__all__ = [
    "EngineClosedError",
    "EngineError",
    "EngineUnavailableError",
    "GenerationFailedError",
    "ModelInvalidError",
    "ModelNotFoundError",
    "PromptRejectedError",
    "SchemaRejectedError",
]


class EngineError(Exception):
    """Base of all expected errors of engines."""


class EngineClosedError(EngineError):
    """The engine was closed."""


class EngineUnavailableError(EngineError):
    """The engine cannot run on this machine."""


class GenerationFailedError(EngineError):
    """A generation step failed; the requests in this step are lost."""


class ModelNotFoundError(EngineError):
    """The model is not installed and cannot be fetched."""


class ModelInvalidError(EngineError):
    """The model's files are incomplete, damaged or those of another model."""


class PromptRejectedError(EngineError, ValueError):
    """The prompt is empty, exceeds the context together with `max_tokens`, or is rejected by the chat template."""


class SchemaRejectedError(EngineError, ValueError):
    """The JSON Schema of the answer is invalid, or has a keyword that the engine cannot follow."""
