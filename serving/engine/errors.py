"""What can go wrong in an engine.

::

    EngineError
    ├── EngineClosedError          generate() after close(), or close() while a request was running
    ├── EngineUnavailableError     the kind, device or dtype asked for does not exist on this machine
    ├── GenerationFailedError      a step of the loop failed; the requests in it are lost, the engine goes on
    ├── ModelNotFoundError         no such model, and nowhere to get it from
    ├── ModelInvalidError          the files are there, but are not what their digest or configuration promises
    └── PromptRejectedError        this prompt cannot be run (empty, or too long); the caller's mistake
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
    """Anything that an engine raises on purpose."""


class EngineClosedError(EngineError):
    """The engine was closed."""


class EngineUnavailableError(EngineError):
    """The engine asked for cannot run here."""


class GenerationFailedError(EngineError):
    """A step failed; its requests are lost."""


class ModelNotFoundError(EngineError):
    """The model is neither here nor where it could come from."""


class ModelInvalidError(EngineError):
    """The model's files are not what they should be."""


class PromptRejectedError(EngineError, ValueError):
    """The prompt is empty, or longer than the model's context with the tokens asked for."""
