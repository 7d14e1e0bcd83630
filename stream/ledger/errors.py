"""Errors of the ledger; :mod:`stream.errors` draws the tree that they belong to.

::

    StreamError
    └── LedgerError
        ├── LedgerAbsent       no ledger was ever written in the folder that was asked for
        └── LedgerBusy         another process holds the ledger's lock
    """

from stream.errors import StreamError

__all__ = ["LedgerAbsent", "LedgerBusy", "LedgerError"]


class LedgerError(StreamError):
    """Base of the ledger's errors."""


class LedgerAbsent(LedgerError):
    """No ledger was ever written in the folder that was asked for."""


class LedgerBusy(LedgerError):
    """Another process holds the ledger's lock."""
