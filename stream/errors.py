"""Errors of the stream package.

::

    StreamError
    ├── WireError              (stream.wire.errors: a record that cannot be read or written)
    │   ├── DecodeError        headers or bytes that are no CloudEvent of ours
    │   └── SchemaError        a known type whose data does not fit its schema
    ├── TopicMismatch          a topic exists with other settings than ours
    ├── StateUnreadable        a table value that this version cannot read
    ├── ModelsLost             the model processes ended and do not come back
    └── ReplayError            a replay that cannot be run as it was asked for
"""

from stream.wire.errors import DecodeError, SchemaError, StreamError, WireError

__all__ = [
    "DecodeError",
    "ModelsLost",
    "ReplayError",
    "SchemaError",
    "StateUnreadable",
    "StreamError",
    "TopicMismatch",
    "WireError",
]


class TopicMismatch(StreamError):
    """A topic exists with another partition count or cleanup policy than Weir needs."""


class StateUnreadable(StreamError):
    """A state value in a table was written by an unknown version or is damaged."""


class ModelsLost(StreamError):
    """The model processes ended, and new ones cannot load their models."""


class ReplayError(StreamError):
    """A replay cannot be run as it was asked for: its detector, its range, or what is left of the log."""
