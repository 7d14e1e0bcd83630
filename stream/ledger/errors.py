"""Errors of the ledger; :mod:`stream.errors` has the whole tree."""

from stream.errors import StreamError

__all__ = ["LedgerAbsent", "LedgerBusy", "LedgerError"]


class LedgerError(StreamError):
    """Base of the ledger's errors."""


class LedgerAbsent(LedgerError):
    """The folder contains no ledger."""


class LedgerBusy(LedgerError):
    """Another process has the ledger's lock."""
