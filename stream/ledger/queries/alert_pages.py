"""Queries: pages of alerts and of retraining events (newest first), the records of one alert, the latest changes."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stream.ledger.queries.page_cursor import NEWEST, Cursor
from stream.ledger.queries.reviews import Review, reviewed_alerts, reviews_of
from stream.ledger.schema import ALERT, RETRAINING, select
from stream.silences import Silences
from stream.wire import OWN_TENANT, AlertRecord, RetrainingRecord

_CHANGES = 500
_FILTERS = ("state", "severity", "detector", "tenant", "model", "side")


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alert in a list; `silenced` is whether a silence mutes the alert now."""

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
    part: str = ""
    model_version: str = ""


class AlertQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query for one page: at most `limit` alerts after the position `before`, newest first.

    Each other field is a filter; "" matches every alert. For `part` and `model_version`, None matches every alert and "" those
    without a part or a trained version.
    `words` selects records that contain this text, in upper or lower case. `unreviewed` selects alerts of users'
    tenants (not Weir's own) that have evidence and no review.
    """

    state: str = ""
    severity: str = ""
    detector: str = ""
    tenant: str = ""
    model: str = ""
    side: str = ""
    part: str | None = None
    model_version: str | None = None
    words: str = ""
    unreviewed: bool = False
    before: Cursor = NEWEST
    limit: int = 100


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts, newest first; `next` is the value of `before` for the next page, or "" on the last page."""

    alerts: list[AlertRow]
    next: str = ""


class RetrainingPage(msgspec.Struct, frozen=True, kw_only=True):
    """Retraining events, newest first; `next` is the same as in :class:`AlertPage`.

    `histories` is {id: all events of a retraining on this page, oldest first}.
    """

    retraining: list[RetrainingRecord]
    next: str = ""
    histories: dict[str, list[RetrainingRecord]] = {}


class AlertChange(msgspec.Struct, frozen=True, kw_only=True):
    """One record of an alert."""

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
    """Return a page of alerts; `now` (seconds since the epoch) decides which silences are active."""
    rows = _rows(database, query, reviewed_alerts(shards) if query.unreviewed else [])
    alerts = [ALERT.decode(record) for *_position, record in rows[: query.limit]]
    reviews = reviews_of(shards, alerts)
    return AlertPage(
        alerts=[alert_row(alert, silences, reviews, now) for alert in alerts], next=_next_page(rows, query.limit)
    )


def _next_page(rows: Sequence[tuple[Any, ...]], limit: int) -> str:
    return str(Cursor(*rows[limit - 1][:2])) if len(rows) > limit else ""


def _rows(
    database: sqlite3.Connection, query: AlertQuery, reviewed: list[tuple[str, str]]
) -> list[tuple[float, str, str]]:
    """Return (opening time, id, record) of each alert of a page, and of one more alert if a next page exists."""
    conditions: list[str] = ["(opened_at, alert_id) < (?, ?)"]
    values: list[Any] = [*query.before]
    for column in _FILTERS:
        if wanted := getattr(query, column):
            conditions.append(f"{column} = ?")
            values.append(wanted)
    for name, of_stream in (("part", query.part), ("model_version", query.model_version)):
        if of_stream is not None:
            conditions.append(f"ifnull(json_extract(record, '$.{name}'), '') = ?")  # a record omits empty fields
            values.append(of_stream)
    if query.words:
        conditions.append("instr(lower(record), lower(?))")
        values.append(query.words)
    if query.unreviewed:
        conditions.append("tenant <> ? AND json_array_length(record, '$.evidence') > 0")
        conditions.append(
            "(alert_id, tenant) NOT IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))"
        )
        values += [OWN_TENANT, msgspec.json.encode(reviewed).decode()]
    return database.execute(
        f"SELECT opened_at, alert_id, record FROM alerts WHERE {' AND '.join(conditions)} ORDER BY opened_at DESC, alert_id DESC LIMIT ?",  # noqa: S608 - constants
        (*values, query.limit + 1),
    ).fetchall()


def alert_row(record: AlertRecord, silences: Silences, reviews: Mapping[str, Sequence[Review]], now: float) -> AlertRow:
    """Return the short form of an alert, with its newest review."""
    entries = reviews.get(record.alert_id)
    return AlertRow(
        silenced=bool(silences.muting(record, now)),
        review=entries[-1].label if entries else "",
        **{name: getattr(record, name) for name in AlertRow.__struct_fields__ if name not in ("silenced", "review")},
    )


def alert_of(database: sqlite3.Connection, alert_id: str) -> AlertRecord | None:
    """Return the newest record of an alert, or None if the ledger has no such alert."""
    row = database.execute("SELECT record FROM alerts WHERE alert_id = ?", (alert_id,)).fetchone()
    return ALERT.decode(row[0]) if row else None


def alert_changes(database: sqlite3.Connection, alert_id: str) -> list[AlertChange]:
    """Return the newest 500 records of an alert, oldest first."""
    query = (
        'SELECT revision, state, severity, at, statistic, bound AS "limit", score, evidence_total FROM alert_changes'
        " WHERE alert_id = ? ORDER BY revision DESC LIMIT ?"
    )
    return select(database, AlertChange, query, (alert_id, _CHANGES))[::-1]


def changed_since(database: sqlite3.Connection, seq: int, limit: int) -> tuple[int, list[AlertRecord]]:
    """Return the number of the newest change, and the alerts that changed after change `seq`, newest first."""
    # "+" keeps SQLite from reading the whole index of alert_changes to save a sort.
    rows = database.execute(
        "SELECT a.record FROM (SELECT alert_id, max(seq) AS newest FROM alert_changes WHERE seq > ? GROUP BY +alert_id) c"
        " JOIN alerts a ON a.alert_id = c.alert_id ORDER BY c.newest DESC LIMIT ?",
        (seq, limit),
    ).fetchall()
    newest = database.execute("SELECT ifnull(max(seq), 0) FROM alert_changes").fetchone()[0]
    return int(newest), [ALERT.decode(record) for (record,) in rows]


def firing_counts(database: sqlite3.Connection) -> dict[str, int]:
    """Return {severity: number of firing alerts}."""
    query = "SELECT severity, count(*) FROM alerts WHERE state = 'firing' GROUP BY 1"
    return dict(database.execute(query).fetchall())


def retraining_page(database: sqlite3.Connection, before: Cursor, limit: int) -> RetrainingPage:
    """Return retraining events, newest first; each state of a retraining is a separate event."""
    rows = database.execute(
        "SELECT at, retraining_id || '/' || state AS id, record FROM retraining WHERE (at, id) < (?, ?)"
        " ORDER BY at DESC, id DESC LIMIT ?",
        (*before, limit + 1),
    ).fetchall()
    records = [RETRAINING.decode(record) for _at, _id, record in rows[:limit]]
    histories: dict[str, list[RetrainingRecord]] = {record.retraining_id: [] for record in records}
    events = database.execute(
        "SELECT r.retraining_id, r.record FROM json_each(?) w CROSS JOIN retraining r ON r.retraining_id = w.value"
        " ORDER BY r.state <> 'requested', r.offset",  # a duplicate of the request can follow a decision
        (msgspec.json.encode(list(histories)).decode(),),
    )
    for retraining_id, record in events:
        histories[retraining_id].append(RETRAINING.decode(record))
    return RetrainingPage(retraining=records, next=_next_page(rows, limit), histories=histories)
