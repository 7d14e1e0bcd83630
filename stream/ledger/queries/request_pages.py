"""Pages of requests, newest first, each with what the detectors said of it: ids and numbers, never text."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stream.ledger.queries.page_cursor import NEWEST, Cursor
from stream.wire import TraceParent

__all__ = ["RequestPage", "RequestRow", "VerdictMark", "found", "newest", "traffic"]

#: Requests of each partition that are looked at for one page where only a tenant's are wanted.
_LOOKED_AT = 2_000
_ACCEPTED = (
    "SELECT time, request_id, tenant FROM events WHERE side = 'input' AND (time, request_id) < (?, ?)"
    " ORDER BY time DESC, request_id DESC LIMIT ?"
)
# A request stands at its newest flagged verdict, and there alone.
_FLAGGED = (
    "SELECT DISTINCT v.time, e.request_id, e.tenant FROM verdicts v JOIN events e ON e.event_id = v.event_id"
    " WHERE v.flagged AND v.time <= ?1 AND (v.time, e.request_id) < (?1, ?2) AND NOT EXISTS (SELECT 1 FROM verdicts n"
    " WHERE n.event_id > e.request_id || '/' AND n.event_id < e.request_id || '0' AND n.flagged AND n.time > v.time)"
    " ORDER BY v.time DESC, e.request_id DESC LIMIT ?3"
)
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
    """Requests, newest first; `next` is the `before` of the page that follows, "" where there is none.

    A page for which enough was looked at may be short, or empty, and have a `next`.
    """

    requests: list[RequestRow]
    next: str = ""


class _Look(msgspec.Struct, frozen=True):
    """What one partition has for a page, and where the look ended before the partition did, None where it did not."""

    names: list[Cursor]
    end: Cursor | None


def newest(
    databases: Sequence[sqlite3.Connection],
    *,
    limit: int,
    before: Cursor = NEWEST,
    tenant: str = "",
    flagged: bool = False,
) -> RequestPage:
    """Return requests, newest first.

    Parameters
    ----------
    databases
        Every partition's.
    limit
        Rows at most.
    before
        Where the page before ended.
    tenant
        Of this tenant alone, where it is named.
    flagged
        Those alone of which a verdict is flagged, by the time of their newest one.
    """
    looks = [_look(database, before, tenant, limit, _FLAGGED if flagged else _ACCEPTED) for database in databases]
    # Past the first end of a look, rows of that partition would be missing.
    end = max((look.end for look in looks if look.end is not None), default=None)
    places = [(name, place) for place, look in enumerate(looks) for name in look.names if end is None or name >= end]
    places.sort(reverse=True)
    page = places[:limit]
    rows = [row for name, place in page if (row := _row(databases[place], name.id)) is not None]
    following = page[-1][0] if len(places) > limit else end
    return RequestPage(requests=rows, next="" if following is None else str(following))


def _look(database: sqlite3.Connection, before: Cursor, tenant: str, limit: int, query: str) -> _Look:
    looked_at = max(_LOOKED_AT, limit) if tenant else limit
    rows = database.execute(
        query, (*before, looked_at + 1)
    ).fetchall()  # one more, so that it is known whether any follow
    return _Look(
        [Cursor(time, request_id) for time, request_id, of in rows[:looked_at] if tenant in ("", of)],
        Cursor(*rows[looked_at - 1][:2]) if len(rows) > looked_at else None,
    )


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
