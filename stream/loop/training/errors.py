"""The errors of training."""

from stream.errors import StreamError


class TrainingError(StreamError):
    """A training run cannot start or has failed, and running it again does not help."""


class LeaseLostError(StreamError):
    """Kafka did not acknowledge that a lease was renewed, so another trainer may own the request."""
