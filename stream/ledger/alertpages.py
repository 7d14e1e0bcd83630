"""Pages of alerts, newest first, and what changed of them since a reader looked last."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stream.alerting.silences import Silences
from stream.ledger.reviews import Review, reviews_of
from stream.wire import OWN_TENANT, AlertRecord, RetrainingRecord

__all__ = [
    "AlertChange",
    "AlertPage",
    "AlertQuery",
    "AlertRow",
    "alert_of",
    "alert_page",
    "alert_row",
    "changed_since",
    "changes_of",
    "firing_counts",
    "retraining_page",
]

_ALERT = msgspec.json.Decoder(AlertRecord)
_RETRAINING = msgspec.json.Decoder(RetrainingRecord)
_CHANGES = 500
#: Alerts that are looked at for one page of what nobody has reviewed.
_LOOKED_AT = 5_000


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alert in a list; `silenced` where a silence mutes it now."""

    alert_id: str
    state: str
    severity: str
    detector: str
    tenant: str
    model: str
    side: str
    feature: str
    opened_at: float
    at: float
    resolved_at: float | None
    summary: str
    evidence_total: int
    trace_id: str
    silenced: bool = False
    review: str = ""


class AlertQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts; a filter that is "" passes all.

    Parameters
    ----------
    words
        Looked for anywhere in the record.
    unreviewed
        Only those with evidence, of a user's tenant, that nobody has called right or wrong.
    before
        The `next` of the page before, "" for the newest.
    limit
        Rows of a page at most.
    """

    state: str = ""
    severity: str = ""
    detector: str = ""
    tenant: str = ""
    words: str = ""
    unreviewed: bool = False
    before: str = ""
    limit: int = 100


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts, newest first; `next` is the `before` of the page that follows, "" where there is none."""

    alerts: list[AlertRow]
    next: str = ""


class AlertChange(msgspec.Struct, frozen=True, kw_only=True):
    """One record of an alert, as it came."""

    revision: int
    state: str
    severity: str
    at: float
    statistic: float
    limit: float
    score: float
    evidence_total: int


def alert_page(
    database: sqlite3.Connection,
    shards: Sequence[sqlite3.Connection],
    silences: Silences,
    query: AlertQuery,
    now: float,
) -> AlertPage:
    """Return a page of alerts.

    Parameters
    ----------
    database, shards
        The file of decisions, and every partition's.
    silences
        The operators'.
    now
        For what is silenced: seconds since the epoch.
    """
    records = _records(database, query)
    reviews = reviews_of(shards, records)
    if query.unreviewed:
        records = [one for one in records if one.evidence and one.tenant != OWN_TENANT and one.alert_id not in reviews]
    rows = [alert_row(one, silences, reviews, now) for one in records[: query.limit]]
    follows = f"{rows[-1].opened_at!r}/{rows[-1].alert_id}" if len(records) > query.limit else ""
    return AlertPage(alerts=rows, next=follows)


def _records(database: sqlite3.Connection, query: AlertQuery) -> list[AlertRecord]:
    """Return the alerts that a page is made of, one more than it holds, so that a next page is known of."""
    opened_at, alert_id = _place(query.before)
    conditions, values = ["(opened_at, alert_id) < (?, ?)"], [opened_at, alert_id]
    for column in ("state", "severity", "detector", "tenant"):
        if wanted := getattr(query, column):
            conditions.append(f"{column} = ?")
            values.append(wanted)
    if query.words:
        conditions.append("instr(lower(record), lower(?))")
        values.append(query.words)
    rows = database.execute(
        f"SELECT record FROM alerts WHERE {' AND '.join(conditions)} ORDER BY opened_at DESC, alert_id DESC LIMIT ?",  # noqa: S608 - our own names
        (*values, _LOOKED_AT if query.unreviewed else query.limit + 1),
    )
    return [_ALERT.decode(record) for (record,) in rows]


def alert_row(record: AlertRecord, silences: Silences, reviews: Mapping[str, Sequence[Review]], now: float) -> AlertRow:
    """Return the short form of an alert."""
    said = reviews.get(record.alert_id)
    return AlertRow(
        silenced=bool(silences.muting(record, now)),
        review=said[-1].label if said else "",
        **{name: getattr(record, name) for name in AlertRow.__struct_fields__ if name not in ("silenced", "review")},
    )


def alert_of(database: sqlite3.Connection, alert_id: str) -> AlertRecord | None:
    """Return the newest record of an alert, or None."""
    row = database.execute("SELECT record FROM alerts WHERE alert_id = ?", (alert_id,)).fetchone()
    return _ALERT.decode(row[0]) if row else None


def changes_of(database: sqlite3.Connection, alert_id: str) -> list[AlertChange]:
    """Return the records of an alert, oldest first; the newest 500."""
    rows = database.execute(
        "SELECT revision, state, severity, at, statistic, bound, score, evidence_total FROM alert_changes"
        " WHERE alert_id = ? ORDER BY revision DESC LIMIT ?",
        (alert_id, _CHANGES),
    ).fetchall()
    names = AlertChange.__struct_fields__
    return [AlertChange(**dict(zip(names, row, strict=True))) for row in reversed(rows)]


def changed_since(database: sqlite3.Connection, seq: int, limit: int) -> tuple[int, list[AlertRecord]]:
    """Return the number of the newest change, and the alerts that changed after change `seq`, newest first."""
    rows = database.execute(
        "SELECT a.record FROM (SELECT alert_id, max(seq) AS newest FROM alert_changes WHERE seq > ? GROUP BY alert_id) c"
        " JOIN alerts a ON a.alert_id = c.alert_id ORDER BY c.newest DESC LIMIT ?",
        (seq, limit),
    ).fetchall()
    newest = database.execute("SELECT ifnull(max(seq), 0) FROM alert_changes").fetchone()[0]
    return int(newest), [_ALERT.decode(record) for (record,) in rows]


def firing_counts(database: sqlite3.Connection) -> dict[str, int]:
    """Return {severity: alerts that fire}."""
    query = "SELECT severity, count(*) FROM alerts WHERE state = 'firing' GROUP BY 1"
    return dict(database.execute(query).fetchall())


def retraining_page(database: sqlite3.Connection, before: float, limit: int) -> list[RetrainingRecord]:
    """Return retraining events that came about before `before`, newest first."""
    query = "SELECT record FROM retraining WHERE at < ? ORDER BY at DESC, retraining_id LIMIT ?"
    return [_RETRAINING.decode(record) for (record,) in database.execute(query, (before, limit))]


def _place(before: str) -> tuple[Any, str]:
    time, _slash, alert_id = before.partition("/")
    return (float(time), alert_id) if before else (float("inf"), "")
