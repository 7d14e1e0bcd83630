"""Queries of the command `weir`: coverage, one request, alerts about Weir, silences, heartbeat."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from stream.errors import LedgerAbsent
from stream.ledger.coverage import Coverage, coverage_of
from stream.ledger.database_files import LedgerFiles, Shards
from stream.ledger.decisions import Heartbeat
from stream.ledger.queries.judged_answers import JudgedAnswers, judged_answers
from stream.ledger.queries.judgments import judgments_of
from stream.ledger.queries.request_pages import (
    conversation_of_request,
    conversation_requests,
    conversation_tenants,
    tenants,
)
from stream.ledger.queries.request_story import RequestStory, consistency_of, gap_of, request_events, request_story
from stream.ledger.queries.reviews import DetectorPrecision, ReviewedAlert, detector_precision, scores_of_reviewed
from stream.ledger.schema import ALERT
from stream.silences import Silences
from stream.wire import OWN_TENANT, AlertRecord, SilenceRecord


class LedgerReader:
    """Reads the files in `directory`, ``$WEIR_HOME/ledger``."""

    def __init__(self, directory: Path) -> None:
        self._files = LedgerFiles(directory)

    def exists(self) -> bool:
        """Return whether the folder contains a ledger."""
        return self._files.decisions.exists()

    def heartbeat(self) -> Heartbeat | None:
        """Return the newest heartbeat, or None."""
        values = self._decisions("SELECT value FROM meta WHERE key = 'heartbeat'")
        return msgspec.json.decode(values[0], type=Heartbeat) if values else None

    def coverage(self) -> Coverage:
        """Return the coverage over all partitions; zeros if there is no ledger."""
        return self._files.query(lambda _, shards: coverage_of(shards), Coverage())

    def judged_answers(self) -> JudgedAnswers:
        """Return the labels joined with their answers; an empty result if there is no ledger."""
        return self._files.query(lambda _, shards: judged_answers(shards), JudgedAnswers(streams={}, unjoined={}))

    def detector_precision(self, tenant: str = "") -> list[DetectorPrecision]:
        """Return the precision of each detector in reviewed alerts; [] if there is no ledger."""
        return self._files.query(lambda decisions, shards: detector_precision(decisions, shards, tenant), [])

    def reviewed_alerts(self, tenant: str = "", since: float = 0.0) -> list[ReviewedAlert]:
        """Return the result of :func:`stream.ledger.queries.reviews.scores_of_reviewed`; [] if there is no ledger."""
        return self._files.query(lambda decisions, shards: scores_of_reviewed(decisions, shards, tenant, since), [])

    def own_alerts(self) -> list[AlertRecord]:
        """Return the firing alerts about Weir itself, oldest first. Alerts about a model are left out."""
        query = "SELECT record FROM alerts WHERE tenant = ? AND model = '' AND state = 'firing' ORDER BY opened_at"
        return [ALERT.decode(record) for record in self._decisions(query, OWN_TENANT)]

    def silences(self) -> Silences:
        """Return the silences of operators, active and expired."""
        silences = Silences()
        for record in self._decisions("SELECT record FROM silences ORDER BY at"):
            silences.apply(msgspec.json.decode(record, type=SilenceRecord))
        return silences

    def _decisions(self, query: str, *parameters: str) -> list[str]:
        """Return the first column of a query's result, or an empty list if there is no ledger."""
        return self._files.query(lambda decisions, _: [row[0] for row in decisions.execute(query, parameters)], [])

    def request(self, request_id: str) -> RequestStory | None:
        """Return a request with all related data, or None if it is unknown; raises LedgerAbsent without a ledger."""
        self.require()
        return self._files.query(lambda decisions, shards: _request(decisions, shards, request_id), None)

    def tenants(self) -> list[str]:
        """Return the tenants that have requests, in order; [] if there is no ledger."""
        return self._files.query(lambda _, shards: tenants(shards), [])

    def conversation_tenants(self, conversation_id: str) -> list[str]:
        """Return the tenants that have a conversation with this id, in order; raises LedgerAbsent without a ledger."""
        self.require()
        return self._files.query(lambda _, shards: conversation_tenants(shards, conversation_id), [])

    def conversation(self, conversation_id: str, *, tenant: str, limit: int) -> list[RequestStory]:
        """Return the newest `limit` requests of a tenant's conversation, oldest first; raises LedgerAbsent without a ledger."""
        return self._conversation(
            lambda shards: conversation_requests(shards, conversation_id, tenant=tenant, limit=limit)
        )

    def conversation_of(self, request_id: str, *, limit: int) -> list[RequestStory]:
        """Return the newest `limit` requests of the conversation of a request, oldest first; [] without a conversation."""
        return self._conversation(lambda shards: conversation_of_request(shards, request_id, limit=limit))

    def _conversation(self, names: Callable[[Shards], list[str]]) -> list[RequestStory]:
        self.require()
        return self._files.query(
            lambda decisions, shards: [
                story for name in names(shards) if (story := _request(decisions, shards, name)) is not None
            ],
            [],
        )

    def require(self) -> None:
        """Raise LedgerAbsent, which names the folder, if there is no ledger."""
        if not self.exists():
            raise LedgerAbsent(
                f"no ledger in {self._files.directory}; start it with `weir up`, or set WEIR_HOME to the home of a stack"
            )


def _request(
    decisions: sqlite3.Connection, shards: Sequence[sqlite3.Connection], request_id: str
) -> RequestStory | None:
    for database in shards:
        if events := request_events(database, request_id):
            story = request_story(request_id, events, decisions)
            judgments = judgments_of(shards, events.tenant, request_id)
            again = next(filter(None, (consistency_of(shard, request_id) for shard in shards)), None)
            return msgspec.structs.replace(story, judgments=judgments, consistency=again)
    for database in shards:
        if gap := gap_of(database, request_id):
            return RequestStory(request_id=request_id, gap=gap)
    return None
