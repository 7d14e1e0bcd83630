"""Text generation: the engine protocol, its implementations, and the model files."""

from serving.engine.errors import (
    EngineClosedError,
    EngineError,
    EngineUnavailableError,
    GenerationFailedError,
    ModelInvalidError,
    ModelNotFoundError,
    PromptRejectedError,
)
from serving.engine.factory import create_engine
from serving.engine.protocol import Chunk, Engine, EngineStats, FinishReason, Sampling

__all__ = [
    "Chunk",
    "Engine",
    "EngineClosedError",
    "EngineError",
    "EngineStats",
    "EngineUnavailableError",
    "FinishReason",
    "GenerationFailedError",
    "ModelInvalidError",
    "ModelNotFoundError",
    "PromptRejectedError",
    "Sampling",
    "create_engine",
]
