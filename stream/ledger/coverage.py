"""Coverage: of what is owed, how much is settled, pending, missing (design.md, decision 9), from the ledger's tables.

Pending becomes missing when score's tick on verdicts has passed the event's time for its source: everything older than the
tick was published before it, so a verdict that is not there did not come. A late one settles it all the same.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = ["PASSED", "Count", "Coverage", "Missing", "SourceTime", "coverage_of", "missing_of", "source_times"]

_EVIDENCE = 20
#: A pair is past its time when score's tick has passed its event; equality waits for the next tick.
PASSED = "(ifnull(s.score_closed, 0) OR u.time < ifnull(s.score_time, -1))"


class Count(msgspec.Struct, kw_only=True):
    """Owed pairs of one detector, tenant or model (mutable: files are added up)."""

    owed: int = 0
    settled: int = 0
    missing: int = 0
    errors: int = 0
    pending: int = 0

    @property
    def ratio(self) -> float:
        """Settled of owed, 1 where nothing was owed; errors are settled."""
        return self.settled / self.owed if self.owed else 1.0

    def add(self, *, owed: int = 0, settled: int = 0, errors: int = 0, missing: int = 0, pending: int = 0) -> None:
        """Add counts."""
        self.owed += owed
        self.settled += settled
        self.errors += errors
        self.missing += missing
        self.pending += pending


class Coverage(msgspec.Struct, kw_only=True):
    """What the log holds and what is settled of it.

    Parameters
    ----------
    requests, ends
        Distinct accepted requests, and distinct ends of theirs.
    gaps
        Records that capture counted instead of delivering them.
    total
        All owed pairs.
    by_detector, by_tenant, by_model
        The same pairs, split.
    oldest_pending_time
        Event time of the oldest pair that is still pending, or None.
    feedback
        Judgements of users and reviewers.
    skipped
        {topic: records that could not be read or stored}.
    """

    requests: int = 0
    ends: int = 0
    gaps: int = 0
    feedback: int = 0
    total: Count = msgspec.field(default_factory=Count)
    by_detector: dict[str, Count] = {}
    by_tenant: dict[str, Count] = {}
    by_model: dict[str, Count] = {}
    oldest_pending_time: float | None = None
    skipped: dict[str, int] = {}

    def _add(self, detector: str, tenant: str, model: str, **counts: int) -> None:
        self.total.add(**counts)
        for split, name in ((self.by_detector, detector), (self.by_tenant, tenant), (self.by_model, model)):
            split.setdefault(name, Count()).add(**counts)


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Owed pairs whose time has passed without a verdict.

    Parameters
    ----------
    pairs
        How many.
    requests
        The oldest request ids, 20 at most.
    requests_total
        How many requests they belong to.
    first
        Identity of the oldest pair, ``event id/detector``.
    detectors, tenants, models
        {detector: pairs}, and the same by tenant and by model.
    traceparents
        Trace contexts of the requests.
    """

    pairs: int = 0
    requests: tuple[str, ...] = ()
    requests_total: int = 0
    first: str = ""
    detectors: dict[str, int] = {}
    tenants: dict[str, int] = {}
    models: dict[str, int] = {}
    traceparents: tuple[str, ...] = ()


class SourceTime(msgspec.Struct, frozen=True, kw_only=True):
    """How far one source has come in one partition: by capture's ticks, and by score's.

    `spool` is the share of its spool that was taken at its last tick, `spool_since` the time of the tick at which that passed
    the bound; None while it has not (:mod:`stream.ledger.sources`).
    """

    source: str
    first_time: float | None
    capture_time: float | None
    capture_closed: bool
    score_time: float | None
    score_closed: bool
    spool: float = 0.0
    spool_since: float | None = None


def coverage_of(databases: Iterable[sqlite3.Connection]) -> Coverage:
    """Add up the coverage of every shard; each is read as one snapshot."""
    coverage = Coverage()
    for database in databases:
        database.execute("BEGIN")
        try:
            _add_counts(coverage, database)
            _add_unsettled(coverage, database)
        finally:
            database.execute("ROLLBACK")
    return coverage


def _add_counts(coverage: Coverage, database: sqlite3.Connection) -> None:
    query = "SELECT detector, tenant, model, sum(owed), sum(settled), sum(errors) FROM pairs GROUP BY 1, 2, 3"
    for detector, tenant, model, owed, settled, errors in database.execute(query):
        coverage._add(detector, tenant, model, owed=owed, settled=settled, errors=errors)  # noqa: SLF001 - ours
    for requests, ends in database.execute("SELECT sum(requests), sum(ends) FROM requests"):
        coverage.requests += requests or 0
        coverage.ends += ends or 0
    coverage.gaps += _one(database, "SELECT CAST(total(count) AS INTEGER) FROM gaps")
    coverage.feedback += _one(database, "SELECT count(*) FROM feedback")
    for topic, records in database.execute("SELECT topic, sum(records) FROM skipped GROUP BY 1"):
        coverage.skipped[topic] = coverage.skipped.get(topic, 0) + records


def _add_unsettled(coverage: Coverage, database: sqlite3.Connection) -> None:
    query = f"""
        SELECT u.detector, u.tenant, u.model, {PASSED} AS passed, count(*), min(u.time)
        FROM unsettled u LEFT JOIN sources s ON s.source = u.source GROUP BY 1, 2, 3, 4
    """  # noqa: S608 - our own names
    for detector, tenant, model, passed, pairs, oldest in database.execute(query):
        coverage._add(detector, tenant, model, **{"missing" if passed else "pending": pairs})  # noqa: SLF001 - ours
        if not passed and (coverage.oldest_pending_time is None or oldest < coverage.oldest_pending_time):
            coverage.oldest_pending_time = oldest


def missing_of(databases: Iterable[sqlite3.Connection]) -> Missing:
    """Return what is missing over every shard, oldest first."""
    splits: tuple[Counter[str], ...] = (Counter(), Counter(), Counter())
    requests_total = 0
    oldest: list[tuple[float, str, str, str, str]] = []
    for database in databases:
        rows = f"FROM unsettled u LEFT JOIN sources s ON s.source = u.source WHERE {PASSED}"
        for *names, pairs in database.execute(
            f"SELECT u.detector, u.tenant, u.model, count(*) {rows} GROUP BY 1, 2, 3"
        ):
            for split, name in zip(splits, names, strict=True):
                split[name] += pairs
        requests_total += _one(database, f"SELECT count(DISTINCT u.request_id) {rows}")
        columns = "u.time, u.event_id, min(u.detector), u.request_id"
        traced = "(SELECT e.traceparent FROM events e WHERE e.event_id = u.event_id)"
        oldest += database.execute(
            f"SELECT {columns}, {traced} {rows} GROUP BY u.event_id ORDER BY 1, 2 LIMIT {2 * _EVIDENCE}"
        ).fetchall()
    if not oldest:
        return Missing()
    oldest.sort()
    traces = {request_id: parent or "" for _time, _event, _detector, request_id, parent in oldest}
    requests = tuple(traces)[:_EVIDENCE]
    return Missing(
        pairs=splits[0].total(),
        requests=requests,
        requests_total=requests_total,
        first=f"{oldest[0][1]}/{oldest[0][2]}",
        detectors=dict(sorted(splits[0].items())),
        tenants=dict(sorted(splits[1].items())),
        models=dict(sorted(splits[2].items())),
        traceparents=tuple(traces[request_id] for request_id in requests if traces[request_id]),
    )


def source_times(database: sqlite3.Connection) -> list[SourceTime]:
    """Return every source that one shard knows."""
    query = "SELECT source, first_time, capture_time, capture_closed, score_time, score_closed, spool, spool_since FROM sources"
    return [
        SourceTime(
            source=source,
            first_time=first,
            capture_time=captured,
            capture_closed=bool(closed),
            score_time=scored,
            score_closed=bool(done),
            spool=spool,
            spool_since=since,
        )
        for source, first, captured, closed, scored, done, spool, since in database.execute(query)
    ]


def _one(database: sqlite3.Connection, query: str) -> Any:
    return database.execute(query).fetchone()[0]
