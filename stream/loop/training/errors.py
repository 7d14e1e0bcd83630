"""The error of training."""

from stream.errors import StreamError

__all__ = ["TrainingError"]


class TrainingError(StreamError):
    """A training run cannot start or has failed, and running it again does not help."""
