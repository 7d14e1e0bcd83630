"""Errors of engines."""

#: Messages that all engines use.
CLOSED = "the engine is closed: send the request again when the model is back"
FAILED = "a generation step failed: send the request again"
NOT_LOADED = "the engine has not loaded its model: call load() first"
NO_TEMPLATE = "the model has no chat template: use /v1/completions"


class EngineError(Exception):
    """Base of all expected errors of engines."""


class EngineClosedError(EngineError):
    """`generate` was called after `close`, or `close` while a request was running."""


class EngineUnavailableError(EngineError):
    """The engine, device or dtype is not available on this machine."""


class GenerationFailedError(EngineError):
    """A generation step failed: its requests are lost, the engine continues."""


class ModelNotFoundError(EngineError):
    """The model is not installed and cannot be fetched."""


class ModelInvalidError(EngineError):
    """The model's files are incomplete, damaged or those of another model."""


class PromptRejectedError(EngineError, ValueError):
    """The chat template rejects the messages, or the model has no chat template."""


class SchemaRejectedError(EngineError, ValueError):
    """The JSON Schema of the answer is invalid, or has a keyword that the engine cannot follow."""
