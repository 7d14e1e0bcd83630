"""Errors of the gate."""

from stream.errors import StreamError

__all__ = ["GateError"]


class GateError(StreamError):
    """The gate cannot run: a file is missing or invalid."""
