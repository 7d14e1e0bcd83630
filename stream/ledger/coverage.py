"""Coverage: the numbers of expected verdicts that are completed, pending and missing.

A pair of event and detector is pending until its verdict arrives. It is missing if score's tick (progress in event time)
has passed the event, because score publishes verdicts before the tick. A late verdict still completes the pair. The tick
must also follow the event in the log: a dead letter can be replayed hours after the ticks of its time.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

#: Largest number of request ids in an alert.
EVIDENCE = 20
#: SQL: score's tick has passed the event of a pair. At equal times the pair waits for the next tick.
_PASSED = "(ifnull(s.score_closed, 0) OR u.after < ifnull(s.score_time, -1))"
_PAIRS = "FROM unsettled u LEFT JOIN sources s ON s.source = u.source"
#: SQL: the pairs whose verdicts are missing.
MISSING = f"{_PAIRS} WHERE {_PASSED}"
_HOUR_SECONDS = 3600
_HOURS = 72


class Count(msgspec.Struct, kw_only=True):
    """Pairs of event and detector: expected (`owed`), completed (`settled`, `errors` included), missing and pending."""

    owed: int = 0
    settled: int = 0
    missing: int = 0
    errors: int = 0
    pending: int = 0

    @property
    def ratio(self) -> float:
        """Completed pairs divided by expected pairs; 1 if no pair is expected."""
        return self.settled / self.owed if self.owed else 1.0

    def add(self, **counts: int) -> None:
        """Add each of `counts` to the field of the same name."""
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)


class Coverage(msgspec.Struct, kw_only=True):
    """Counts over all partitions: distinct requests and end records, records lost in gaps, expected verdicts.

    Copies of requests that Weir sent (`shadow_of`) count only with their expected verdicts.
    `oldest_pending_time` is the time of the oldest event with a pending verdict. `skipped` is {topic: number of skipped records}.
    """

    requests: int = 0
    ends: int = 0
    gaps: int = 0
    total: Count = msgspec.field(default_factory=Count)
    by_detector: dict[str, Count] = {}
    by_tenant: dict[str, Count] = {}
    by_model: dict[str, Count] = {}
    oldest_pending_time: float | None = None
    skipped: dict[str, int] = {}

    def add(self, detector: str, tenant: str, model: str, **counts: int) -> None:
        """Add counts of pairs to the total and to the counts of the detector, the tenant and the model."""
        self.total.add(**counts)
        for split, name in ((self.by_detector, detector), (self.by_tenant, tenant), (self.by_model, model)):
            split.setdefault(name, Count()).add(**counts)


class MissingVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of missing verdicts (score's ticks have passed their events): total, by detector, by tenant, by model.

    `requests` contains the oldest of `requests_total` request ids, at most 20; `traceparents` are the trace contexts of
    these requests. `first` is ``event id/detector`` of the oldest missing verdict.
    """

    pairs: int = 0
    requests: tuple[str, ...] = ()
    requests_total: int = 0
    first: str = ""
    detectors: dict[str, int] = {}
    tenants: dict[str, int] = {}
    models: dict[str, int] = {}
    traceparents: tuple[str, ...] = ()


def coverage_of(databases: Iterable[sqlite3.Connection]) -> Coverage:
    """Return the coverage over all partitions; the file of each partition is read in one snapshot."""
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
    splits = {"detector": coverage.by_detector, "tenant": coverage.by_tenant, "model": coverage.by_model}
    for column, split in splits.items():
        query = f"SELECT {column}, sum(owed), sum(settled), sum(errors) FROM pair_totals GROUP BY 1"  # noqa: S608 - constants
        for name, owed, settled, errors in database.execute(query):
            split.setdefault(name, Count()).add(owed=owed, settled=settled, errors=errors)
            if split is coverage.by_detector:
                coverage.total.add(owed=owed, settled=settled, errors=errors)
    requests, ends = database.execute("SELECT total(requests), total(ends) FROM request_totals").fetchone()
    coverage.requests += int(requests)
    coverage.ends += int(ends)
    coverage.gaps += _value(database, "SELECT CAST(total(count) AS INTEGER) FROM gaps")
    for topic, records in database.execute("SELECT topic, sum(records) FROM skipped GROUP BY 1"):
        coverage.skipped[topic] = coverage.skipped.get(topic, 0) + records


def _add_unsettled(coverage: Coverage, database: sqlite3.Connection) -> None:
    query = f"SELECT u.detector, u.tenant, u.model, {_PASSED}, count(*), min(u.time) {_PAIRS} GROUP BY 1, 2, 3, 4"
    for detector, tenant, model, passed, pairs, oldest in database.execute(query):
        coverage.add(detector, tenant, model, **{"missing" if passed else "pending": pairs})
        if not passed and (coverage.oldest_pending_time is None or oldest < coverage.oldest_pending_time):
            coverage.oldest_pending_time = oldest


def missing_verdicts(databases: Iterable[sqlite3.Connection]) -> MissingVerdicts:
    """Return the missing verdicts over all partitions, oldest first."""
    splits: tuple[Counter[str], ...] = (Counter(), Counter(), Counter())
    requests_total = 0
    oldest: list[tuple[float, str, str, str, str]] = []
    counts = f"SELECT u.detector, u.tenant, u.model, count(*) {MISSING} GROUP BY 1, 2, 3"
    first = (
        "SELECT u.time, u.event_id, min(u.detector), u.request_id,"  # noqa: S608 - constants
        f" (SELECT e.traceparent FROM events e WHERE e.event_id = u.event_id) {MISSING}"
        f" GROUP BY u.event_id ORDER BY 1, 2 LIMIT {2 * EVIDENCE}"
    )
    for database in databases:
        for *names, pairs in database.execute(counts):
            for split, name in zip(splits, names, strict=True):
                split[name] += pairs
        requests_total += _value(database, f"SELECT count(DISTINCT u.request_id) {MISSING}")
        oldest += database.execute(first).fetchall()
    if not oldest:
        return MissingVerdicts()
    oldest.sort()
    traces = {request_id: parent or "" for _time, _event, _detector, request_id, parent in oldest}
    requests = tuple(traces)[:EVIDENCE]
    detectors, tenants, models = (dict(sorted(split.items())) for split in splits)
    return MissingVerdicts(
        pairs=sum(detectors.values()),
        requests=requests,
        requests_total=requests_total,
        first=f"{oldest[0][1]}/{oldest[0][2]}",
        detectors=detectors,
        tenants=tenants,
        models=models,
        traceparents=tuple(traces[request_id] for request_id in requests if traces[request_id]),
    )


def _value(database: sqlite3.Connection, query: str) -> Any:
    return database.execute(query).fetchone()[0]


class HourCount(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of expected, completed, failed and missing verdicts in the hour of event time that starts at `time`."""

    time: float
    owed: int
    settled: int
    errors: int
    missing: int = 0


def coverage_hours(shards: list[sqlite3.Connection]) -> list[HourCount]:
    """Return the counts of each hour up to the newest with expected verdicts, oldest first, at most 72."""
    completed = "SELECT hour, sum(owed), sum(settled), sum(errors), 0 FROM pairs GROUP BY 1"
    missing = f"SELECT CAST(u.time / {_HOUR_SECONDS} AS INTEGER), 0, 0, 0, count(*) {MISSING} GROUP BY 1"
    hours: dict[int, list[int]] = {}
    for database in shards:
        for hour, *counts in database.execute(f"{completed} UNION ALL {missing}"):
            hours[hour] = [a + b for a, b in zip(hours.get(hour, [0] * 4), counts, strict=True)]
    newest = max(hours, default=0)
    return [
        HourCount(time=float(hour * _HOUR_SECONDS), owed=owed, settled=settled, errors=errors, missing=absent)
        for hour in range(max(min(hours, default=1), newest - _HOURS + 1), newest + 1)
        for owed, settled, errors, absent in [hours.get(hour, [0] * 4)]
    ]
