"""Pages of requests, newest first, each with what the detectors said of it: ids and numbers, never text."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stream.wire import TraceParent

__all__ = ["RequestPage", "RequestRow", "VerdictMark", "found", "newest", "traffic"]

#: Requests that are looked at for one page where a filter passes few of them.
_LOOKED_AT = 2_000
_COLUMNS = (
    "event_id, request_id, side, tenant, model, status, time, latency_seconds, completion_tokens, traceparent, owed"
)


class VerdictMark(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector said of one side, in short."""

    detector: str
    side: str
    flagged: bool
    label: str
    score: float


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a list.

    Parameters
    ----------
    status
        ``complete``, ``error``, ``cancelled`` or ``aborted``; "" while its end is not in the log.
    pending
        ``side/detector`` that is owed and has given no verdict yet.
    """

    request_id: str
    time: float
    tenant: str
    model: str
    status: str = ""
    latency_seconds: float | None = None
    tokens: int | None = None
    trace_id: str = ""
    verdicts: list[VerdictMark] = []
    pending: list[str] = []


class RequestPage(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, newest first; `next` is the `before` of the page that follows, None where there is none."""

    requests: list[RequestRow]
    next: float | None = None


def newest(
    databases: Sequence[sqlite3.Connection], *, before: float, limit: int, tenant: str = "", flagged: bool = False
) -> RequestPage:
    """Return requests that were accepted before `before`, newest first.

    Parameters
    ----------
    databases
        Every partition's.
    before
        Seconds since the epoch.
    limit
        Rows at most.
    tenant
        Of this tenant alone, where it is named; among the newest 2,000 of each partition.
    flagged
        Those alone of which a verdict is flagged, by the time of their newest one.
    """
    which = _flagged if flagged else _accepted
    names = [
        (time, request_id, database)
        for database in databases
        for time, request_id in which(database, before, tenant, limit)
    ]
    names.sort(key=lambda name: (-name[0], name[1]))
    rows = [row for _time, request_id, database in names[:limit] if (row := _row(database, request_id)) is not None]
    return RequestPage(requests=rows, next=names[limit - 1][0] if len(names) > limit else None)


def _accepted(database: sqlite3.Connection, before: float, tenant: str, limit: int) -> list[tuple[float, str]]:
    """Return (time, request id), one more than `limit` at most, so that a next page is known of."""
    query = (
        "SELECT time, request_id FROM (SELECT time, request_id, tenant FROM events WHERE side = 'input' AND time < ?1"
        " ORDER BY time DESC LIMIT ?2) WHERE ?3 = '' OR tenant = ?3 ORDER BY time DESC LIMIT ?4"
    )
    looked_at = _LOOKED_AT if tenant else limit + 1
    return database.execute(query, (before, looked_at, tenant, limit + 1)).fetchall()


def _flagged(database: sqlite3.Connection, before: float, tenant: str, limit: int) -> list[tuple[float, str]]:
    query = (
        "SELECT max(v.time), e.request_id FROM (SELECT event_id, time FROM verdicts WHERE flagged AND time < ?1"
        " ORDER BY time DESC LIMIT ?2) v JOIN events e ON e.event_id = v.event_id WHERE ?3 = '' OR e.tenant = ?3"
        " GROUP BY e.request_id ORDER BY 1 DESC LIMIT ?4"
    )
    return database.execute(query, (before, _LOOKED_AT, tenant, limit + 1)).fetchall()


def found(databases: Iterable[sqlite3.Connection], request_ids: Iterable[str]) -> dict[str, RequestRow]:
    """Return {request id: row} of those that the ledger knows."""
    wanted = list(dict.fromkeys(request_ids))
    rows: dict[str, RequestRow] = {}
    for database in databases:
        for request_id in wanted:
            if request_id not in rows and (row := _row(database, request_id)) is not None:
                rows[request_id] = row
    return rows


def _row(database: sqlite3.Connection, request_id: str) -> RequestRow | None:
    # An event's id begins with its request's id and "/": a range of primary keys.
    query = f"SELECT {_COLUMNS} FROM events WHERE event_id > ?1 || '/' AND event_id < ?1 || '0' ORDER BY time, event_id"  # noqa: S608 - ours
    events = database.execute(query, (request_id,)).fetchall()
    if not events:
        return None
    marks = database.execute(
        "SELECT event_id, detector, side, flagged, label, score FROM verdicts WHERE event_id > ?1 || '/' AND event_id < ?1 || '0'"
        " ORDER BY side, detector, version",
        (request_id,),
    ).fetchall()
    return _told(events, marks)


def _told(events: list[tuple[Any, ...]], marks: list[tuple[Any, ...]]) -> RequestRow:
    _event_id, request_id, _side, tenant, model, *_ = events[0]
    end = next((event for event in reversed(events) if event[5] is not None), None)
    settled = {(event_id, detector) for event_id, detector, *_ in marks}
    parents = [parsed for event in events if (parsed := TraceParent.parse(event[9]))]
    return RequestRow(
        request_id=request_id,
        time=events[0][6],
        tenant=tenant,
        model=model,
        status=end[5] if end else "",
        latency_seconds=end[7] if end else None,
        tokens=end[8] if end else None,
        trace_id=parents[0].trace_id if parents else "",
        verdicts=[
            VerdictMark(detector=detector, side=side, flagged=bool(flagged), label=label, score=score)
            for _event, detector, side, flagged, label, score in marks
        ],
        pending=[
            f"{event[2]}/{detector}"
            for event in events
            for detector in (event[10].split(",") if event[10] else ())
            if (event[0], detector) not in settled
        ],
    )


def traffic(databases: Iterable[sqlite3.Connection], until: float, seconds: int) -> tuple[list[int], list[int]]:
    """Return requests and flagged verdicts in each of the `seconds` before `until`, oldest first."""
    requests, flagged = [0] * seconds, [0] * seconds
    counted = (
        (requests, "SELECT time FROM events WHERE time >= ? AND side = 'input'"),
        (flagged, "SELECT time FROM verdicts WHERE time >= ? AND flagged"),
    )
    first = until - seconds
    for database in databases:
        for counts, query in counted:
            for (time,) in database.execute(query, (first,)):
                place = int(time - first)
                if 0 <= place < seconds:
                    counts[place] += 1
    return requests, flagged
