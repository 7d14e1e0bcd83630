"""Read-only connections to the ledger's files: opened for a question and closed after it.

SQLite's write-ahead log lets them see a snapshot beside the writer.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from stream.ledger.database_files import LedgerFiles

__all__ = ["Databases", "retried"]

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.1
ResultT = TypeVar("ResultT")


class Databases:
    """The ledger's files, for readers.

    Parameters
    ----------
    files
        Where they lie.
    """

    def __init__(self, files: LedgerFiles) -> None:
        self._files = files

    @contextmanager
    def decisions(self) -> Iterator[sqlite3.Connection]:
        """Open the file of alerts, windows and retraining events."""
        with closing(_connect(self._files.decisions)) as database:
            yield database

    @contextmanager
    def shards(self) -> Iterator[list[sqlite3.Connection]]:
        """Open the file of each inference partition."""
        with ExitStack() as stack:
            yield [stack.enter_context(closing(_connect(path))) for path in self._files.shards()]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2, isolation_level=None)


def retried(ask: Callable[[], ResultT]) -> ResultT:
    """Ask again while a file is locked, or vanishes because it is being rebuilt."""
    for attempt in range(_ATTEMPTS):
        try:
            return ask()
        except sqlite3.OperationalError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable")
