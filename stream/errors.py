"""Errors of the stream package.

::

    StreamError
    ├── WireError              (stream.wire.errors: a record that cannot be read or written)
    │   ├── DecodeError        headers or bytes that are no CloudEvent of ours
    │   └── SchemaError        a known type whose data does not fit its schema
    ├── TopicMismatch          a topic exists with other settings than ours
    ├── StateUnreadable        a table value that this version cannot read
    └── ModelsLost             the model processes ended and do not come back
"""

from stream.wire.errors import DecodeError, SchemaError, StreamError, WireError

__all__ = ["DecodeError", "ModelsLost", "SchemaError", "StateUnreadable", "StreamError", "TopicMismatch", "WireError"]


class TopicMismatch(StreamError):
    """A topic exists with another partition count or cleanup policy than Weir needs."""


class StateUnreadable(StreamError):
    """A state value in a table was written by an unknown version or is damaged."""


class ModelsLost(StreamError):
    """The model processes ended, and new ones cannot load their models."""
