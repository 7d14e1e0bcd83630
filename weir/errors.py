"""Errors of the weir package: shown to a person as one line, without a traceback.

::

    WeirError
    ├── SettingsError       a setting is unknown, out of bounds, or its file cannot be read
    ├── StackError          a process of the stack cannot be started, found or stopped
    ├── BrokerError         the local broker cannot be installed or started
    └── NotFoundError       an id, key or topic that does not exist where it was looked for
"""

__all__ = ["BrokerError", "NotFoundError", "SettingsError", "StackError", "WeirError", "no_kafka"]


class WeirError(Exception):
    """Base of every error that the command shows as one line."""


class SettingsError(WeirError):
    """A setting is unknown or out of bounds, or its file cannot be read."""


class StackError(WeirError):
    """A process of the stack cannot be started, found or stopped."""


class BrokerError(WeirError):
    """The local broker cannot be installed or started."""


class NotFoundError(WeirError):
    """An id, key or topic does not exist where it was looked for."""


def no_kafka(bootstrap_servers: str) -> BrokerError:
    """Return the error that says that no Kafka answers there, and what to do."""
    return BrokerError(
        f"no Kafka answers at {bootstrap_servers}; start the stack with `weir up`, or set "
        "WEIR_KAFKA__BOOTSTRAP_SERVERS to a broker that runs"
    )
