"""Errors of the ledger; :mod:`stream.errors` draws the tree that they belong to.

::

    StreamError
    └── LedgerError
        ├── LedgerAbsent       no ledger was ever written in the folder that was asked for
        ├── LedgerBusy         another process holds the ledger's lock
        └── LedgerStalled      the log has grown and nothing was read for too long
"""

from stream.errors import StreamError

__all__ = ["LedgerAbsent", "LedgerBusy", "LedgerError", "LedgerStalled"]


class LedgerError(StreamError):
    """Base of the ledger's errors."""


class LedgerAbsent(LedgerError):
    """No ledger was ever written in the folder that was asked for."""


class LedgerBusy(LedgerError):
    """Another process holds the ledger's lock."""


class LedgerStalled(LedgerError):
    """The log has grown and nothing was read for too long; a fresh consumer helps."""
