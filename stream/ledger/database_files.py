"""Where the ledger's files lie, who may write them, and how a rebuild is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream.files import FileLock
from stream.ledger.errors import LedgerBusy
from stream.ledger.schema import SCHEMA_VERSION, schema_version

__all__ = ["LedgerFiles"]


class LedgerFiles:
    """The ledger's folder: ``partition-N.db``, ``decisions.db``, a lock, and perhaps a wish to be rebuilt.

    Parameters
    ----------
    directory
        ``$WEIR_HOME/ledger``.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def decisions(self) -> Path:
        """The file of alerts and retraining events."""
        return self.directory / "decisions.db"

    def shard(self, partition: int) -> Path:
        """Return the file of one inference partition."""
        return self.directory / f"partition-{partition}.db"

    def shards(self) -> list[Path]:
        """Return the partitions' files that exist, in order."""
        return sorted(self.directory.glob("partition-*.db"), key=lambda path: int(path.stem.rpartition("-")[2]))

    def other_version(self) -> Path | None:
        """Return a file that another version wrote or that is damaged, or None."""
        known = [path for path in (self.decisions, *self.shards()) if path.exists()]
        return next((path for path in known if schema_version(path) != SCHEMA_VERSION), None)

    def delete(self) -> None:
        """Delete every database, and the wish to do so."""
        for path in (*self.directory.glob("*.db"), *self.directory.glob("*.db-wal"), *self.directory.glob("*.db-shm")):
            path.unlink(missing_ok=True)
        self._wish.unlink(missing_ok=True)

    @property
    def _wish(self) -> Path:
        return self.directory / "rebuild"

    def ask_for_rebuild(self) -> None:
        """Ask the ledger that runs to delete its files and read the log from zero."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._wish.touch()

    def rebuild_asked(self) -> bool:
        """Tell whether a rebuild was asked for and has not begun."""
        return self._wish.exists()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the right to write; the kernel releases it when this process dies.

        Raises
        ------
        LedgerBusy
            Another process holds it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock.try_acquire(self.directory / "lock")
        if lock is None:
            raise LedgerBusy(f"another process writes the ledger in {self.directory}; only one may, stop it first")
        with lock:
            yield
