"""The files of the ledger: paths, read-only connections, the writer's lock, and requests to rebuild the files."""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from stream.errors import LedgerBusy, LedgerDamaged
from stream.files import FileLock
from stream.ledger.schema import SCHEMA_VERSION, open_for_reading, schema_version

_SHARD = re.compile(r"partition-(0|[1-9][0-9]*)\.db")
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.1
#: SQLite's primary result codes of a folder or file without permission to write.
_RIGHTS = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
ResultT = TypeVar("ResultT")
Shards = list[sqlite3.Connection]


class LedgerFiles:
    """The folder ``$WEIR_HOME/ledger``: ``partition-N.db``, ``decisions.db``, a lock file, a rebuild request.

    Readers open a connection per query. With SQLite's write-ahead log, each query reads a snapshot while the ledger
    writes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def decisions(self) -> Path:
        """The file of alerts, windows and retraining events."""
        return self.directory / "decisions.db"

    def shard(self, partition: int) -> Path:
        """Return the file of one inference partition."""
        return self.directory / f"partition-{partition}.db"

    def shards(self) -> list[Path]:
        """Return the existing files of partitions, in order; other files, such as ``partition-0.copy.db``, are ignored."""
        found = (path for path in self.directory.glob("partition-*.db") if _SHARD.fullmatch(path.name))
        return sorted(found, key=lambda path: int(path.stem.rpartition("-")[2]))

    def query(self, query: Callable[[sqlite3.Connection, Shards], ResultT], empty: ResultT) -> ResultT:
        """Return the result of `query` on the decisions and the partitions, or `empty` if there is no ledger.

        A query is retried for some seconds while a file is locked, or absent because of a rebuild. Raises LedgerBusy or
        LedgerDamaged.
        """
        if not self.decisions.exists():
            return empty
        try:
            for _ in range(_ATTEMPTS - 1):
                try:
                    return self._result(query)
                except sqlite3.OperationalError:
                    time.sleep(_PAUSE_SECONDS)
            return self._result(query)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in _RIGHTS:
                raise LedgerBusy(
                    f"the ledger in {self.directory} cannot be read: {error}. While no ledger runs, SQLite must write into this folder to read it:"
                    " run the command as the user of the stack, or start the stack"
                ) from error
            raise LedgerBusy(
                f"the ledger in {self.directory} cannot be read now: {error}; run the command again. If the error stays, end the process that uses "
                "the files, or restart the stack"
            ) from error
        except sqlite3.DatabaseError as error:
            raise LedgerDamaged(
                f"the ledger in {self.directory} cannot be read: {error}; `weir ledger rebuild` reads it again from Kafka"
            ) from error

    def _result(self, query: Callable[[sqlite3.Connection, Shards], ResultT]) -> ResultT:
        with ExitStack() as stack:
            decisions, *shards = (
                stack.enter_context(closing(open_for_reading(path, timeout=_PAUSE_SECONDS)))
                for path in (self.decisions, *self.shards())
            )
            return query(decisions, shards)

    def other_version(self) -> Path | None:
        """Return the first file that is damaged or has another schema version, or None."""
        known = [path for path in (self.decisions, *self.shards()) if path.exists()]
        return next((path for path in known if schema_version(path) != SCHEMA_VERSION), None)

    def delete(self) -> None:
        """Delete every file of the ledger, and the rebuild request; copies with other names are kept."""
        _delete(self.decisions, *self.shards())
        self._rebuild.unlink(missing_ok=True)

    def delete_surplus(self, partitions: int) -> list[Path]:
        """Delete and return the files of the partitions from `partitions` on: readers read them, but nothing would update or expire their rows."""
        kept = {self.shard(partition) for partition in range(partitions)}
        surplus = [path for path in self.shards() if path not in kept]
        _delete(*surplus)
        return surplus

    @property
    def _rebuild(self) -> Path:
        return self.directory / "rebuild"

    def request_rebuild(self) -> None:
        """Request that the running ledger deletes its files and reads the log from the start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._rebuild.touch()

    def rebuild_requested(self) -> bool:
        """Return whether a rebuild is requested and has not started."""
        return self._rebuild.exists()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the ledger for writing; raises LedgerBusy if another process has the lock."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock.try_acquire(self.directory / "lock")
        if lock is None:
            raise LedgerBusy(f"another process writes the ledger in {self.directory}; stop that process first")
        with lock:
            yield


def _delete(*files: Path) -> None:
    for path in files:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
