"""Errors of the stream package.

::

    StreamError
    ├── WireError              (stream.wire.errors: a record that cannot be read or written)
    │   ├── DecodeError        headers or bytes that are no CloudEvent of ours
    │   └── SchemaError        a known type whose data does not fit its schema
    ├── BrokerError            no Kafka answers, it refuses, or the local broker cannot be started
    ├── TopicMissing           a topic does not exist
    ├── TopicMismatch          a topic exists with another partition count
    ├── LogExpired             records to be read were deleted
    ├── ReaderStalled          the log contains more and nothing arrives
    ├── StateUnreadable        a table value that this version cannot read
    ├── ModelsLost             the model processes ended and do not come back
    └── ReplayError            a replay that cannot be run as it was asked for
"""

from stream.wire.errors import StreamError

__all__ = [
    "BrokerError",
    "LogExpired",
    "ModelsLost",
    "ReaderStalled",
    "ReplayError",
    "StateUnreadable",
    "StreamError",
    "TopicMismatch",
    "TopicMissing",
    "no_kafka",
]


class BrokerError(StreamError):
    """No Kafka answers, it refuses, or the local broker cannot be installed or started."""


class TopicMissing(StreamError):
    """A topic does not exist."""


class TopicMismatch(StreamError):
    """A topic exists with another partition count than Weir needs."""


class LogExpired(StreamError):
    """Records to be read were deleted, by retention or with their topic."""


class ReaderStalled(StreamError):
    """The log contains more and nothing arrives; a new consumer helps."""


class StateUnreadable(StreamError):
    """A state value in a table was written by an unknown version or is damaged."""


class ModelsLost(StreamError):
    """The model processes ended, and new ones cannot load their models."""


class ReplayError(StreamError):
    """A replay cannot be run as it was asked for: its detector, its range, or what is left of the log."""


def no_kafka(bootstrap_servers: str) -> BrokerError:
    """Return the error for a Kafka that does not answer."""
    return BrokerError(
        f"no Kafka answers at {bootstrap_servers}; start the stack with `weir up`, or set "
        "WEIR_KAFKA__BOOTSTRAP_SERVERS to a broker that runs"
    )
