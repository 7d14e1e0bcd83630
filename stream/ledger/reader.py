"""Reading the ledger while it is written: coverage, one request's story, how the ledger itself is.

Read-only connections, one a file, opened for a question and closed after it; SQLite's write-ahead log lets them see a
snapshot beside the writer.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from stream.alerting.silences import Silences
from stream.ledger.coverage import Coverage, coverage_of
from stream.ledger.decisions import Heartbeat
from stream.ledger.errors import LedgerAbsent
from stream.ledger.files import LedgerFiles
from stream.ledger.story import RequestStory, gap_of, request_events, told
from stream.wire import OWN_TENANT, AlertRecord, SilenceRecord

__all__ = ["LedgerReader"]

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.1
_ALERT = msgspec.json.Decoder(AlertRecord)
_SILENCE = msgspec.json.Decoder(SilenceRecord)
ResultT = TypeVar("ResultT")


class LedgerReader:
    """Answers from the ledger's files.

    Parameters
    ----------
    directory
        ``$WEIR_HOME/ledger``.
    """

    def __init__(self, directory: Path) -> None:
        self._files = LedgerFiles(directory)

    def exists(self) -> bool:
        """Tell whether a ledger was ever written here."""
        return self._files.decisions.exists()

    def heartbeat(self) -> Heartbeat | None:
        """Return what the ledger last said of itself, or None where it never did."""
        if not self.exists():
            return None

        def ask() -> Heartbeat | None:
            with self._decisions() as database:
                row = database.execute("SELECT value FROM meta WHERE key = 'heartbeat'").fetchone()
            return msgspec.json.decode(row[0], type=Heartbeat) if row else None

        return _retried(ask)

    def coverage(self) -> Coverage:
        """Return the coverage over all partitions; zeros where there is no ledger yet."""

        def ask() -> Coverage:
            with self._shards() as databases:
                return coverage_of(databases)

        return _retried(ask)

    def own_alerts(self) -> list[AlertRecord]:
        """Return the alerts about Weir itself that fire, the ledger's and watch's, oldest first; a sentinel's is about a model."""
        if not self.exists():
            return []

        def ask() -> list[AlertRecord]:
            query = "SELECT record FROM alerts WHERE tenant = ? AND model = '' AND state = 'firing' ORDER BY opened_at"
            with self._decisions() as database:
                rows = database.execute(query, (OWN_TENANT,)).fetchall()
            return [_ALERT.decode(row[0]) for row in rows]

        return _retried(ask)

    def silences(self) -> Silences:
        """Return the operators' silences, held and ended."""
        found = Silences()
        if not self.exists():
            return found

        def ask() -> list[SilenceRecord]:
            with self._decisions() as database:
                rows = database.execute("SELECT record FROM silences ORDER BY at").fetchall()
            return [_SILENCE.decode(row[0]) for row in rows]

        for record in _retried(ask):
            found.apply(record)
        return found

    def request(self, request_id: str) -> RequestStory | None:
        """Return what is known of a request, or None where the ledger has never seen it.

        Raises
        ------
        LedgerAbsent
            No ledger was ever written here.
        """
        if not self.exists():
            raise LedgerAbsent(
                f"no ledger in {self._files.directory}; start it with `weir up`, or set WEIR_HOME to a stack's home"
            )
        return _retried(lambda: self._request(request_id))

    def _request(self, request_id: str) -> RequestStory | None:
        with self._shards() as databases:
            for database in databases:
                if found := request_events(database, request_id):
                    with self._decisions() as decisions:
                        return told(request_id, found, decisions)
            for database in databases:
                if (gap := gap_of(database, request_id)) is not None:
                    return RequestStory(request_id=request_id, gap=gap)
        return None

    @contextmanager
    def _decisions(self) -> Iterator[sqlite3.Connection]:
        with closing(_connect(self._files.decisions)) as database:
            yield database

    @contextmanager
    def _shards(self) -> Iterator[list[sqlite3.Connection]]:
        with ExitStack() as stack:
            yield [stack.enter_context(closing(_connect(path))) for path in self._files.shards()]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2, isolation_level=None)


def _retried(ask: Callable[[], ResultT]) -> ResultT:
    """Ask again while a file is locked, or vanishes because it is being rebuilt."""
    for attempt in range(_ATTEMPTS):
        try:
            return ask()
        except sqlite3.OperationalError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable")
