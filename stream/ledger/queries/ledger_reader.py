"""Reading the ledger while it is written: coverage, one request's story, how the ledger itself is."""

from pathlib import Path

import msgspec

from stream.ledger.connect import Databases, retried
from stream.ledger.coverage import Coverage, coverage_of
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Heartbeat
from stream.ledger.errors import LedgerAbsent
from stream.ledger.queries.request_story import RequestStory, gap_of, request_events, told
from stream.silences import Silences
from stream.wire import OWN_TENANT, AlertRecord, SilenceRecord

__all__ = ["LedgerReader"]

_ALERT = msgspec.json.Decoder(AlertRecord)
_SILENCE = msgspec.json.Decoder(SilenceRecord)


class LedgerReader:
    """Answers from the ledger's files.

    Parameters
    ----------
    directory
        ``$WEIR_HOME/ledger``.
    """

    def __init__(self, directory: Path) -> None:
        self._files = LedgerFiles(directory)
        self._databases = Databases(self._files)

    def exists(self) -> bool:
        """Tell whether a ledger was ever written here."""
        return self._files.decisions.exists()

    def heartbeat(self) -> Heartbeat | None:
        """Return what the ledger last said of itself, or None where it never did."""
        if not self.exists():
            return None

        def ask() -> Heartbeat | None:
            with self._databases.decisions() as database:
                row = database.execute("SELECT value FROM meta WHERE key = 'heartbeat'").fetchone()
            return msgspec.json.decode(row[0], type=Heartbeat) if row else None

        return retried(ask)

    def coverage(self) -> Coverage:
        """Return the coverage over all partitions; zeros where there is no ledger yet."""

        def ask() -> Coverage:
            with self._databases.shards() as databases:
                return coverage_of(databases)

        return retried(ask)

    def own_alerts(self) -> list[AlertRecord]:
        """Return the alerts about Weir itself that fire, the ledger's and watch's, oldest first; a sentinel's is about a model."""
        if not self.exists():
            return []

        def ask() -> list[AlertRecord]:
            query = "SELECT record FROM alerts WHERE tenant = ? AND model = '' AND state = 'firing' ORDER BY opened_at"
            with self._databases.decisions() as database:
                rows = database.execute(query, (OWN_TENANT,)).fetchall()
            return [_ALERT.decode(row[0]) for row in rows]

        return retried(ask)

    def silences(self) -> Silences:
        """Return the operators' silences, held and ended."""
        found = Silences()
        if not self.exists():
            return found

        def ask() -> list[SilenceRecord]:
            with self._databases.decisions() as database:
                rows = database.execute("SELECT record FROM silences ORDER BY at").fetchall()
            return [_SILENCE.decode(row[0]) for row in rows]

        for record in retried(ask):
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
        return retried(lambda: self._request(request_id))

    def _request(self, request_id: str) -> RequestStory | None:
        with self._databases.shards() as databases:
            for database in databases:
                if found := request_events(database, request_id):
                    with self._databases.decisions() as decisions:
                        return told(request_id, found, decisions)
            for database in databases:
                if (gap := gap_of(database, request_id)) is not None:
                    return RequestStory(request_id=request_id, gap=gap)
        return None
