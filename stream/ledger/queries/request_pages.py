"""Pages of requests, newest first, each with a short form of its verdicts: ids and numbers, never text."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stream.ledger.queries.page_cursor import NEWEST, Cursor
from stream.wire import TraceParent, conversation_key

_HOUR_SECONDS = 3600.0
#: Requests of each partition that are scanned for one page if it is filtered by tenant.
_SCANNED = 2_000
_ACCEPTED = (
    "SELECT time, request_id, tenant FROM events WHERE side = 'input' AND (time, request_id) < (?, ?)"
    " ORDER BY time DESC, request_id DESC LIMIT ?"
)
# The position of a request is the time of its newest flagged verdict, so it appears once.
_FLAGGED = (
    "SELECT DISTINCT v.time, e.request_id, e.tenant FROM verdicts v JOIN events e ON e.event_id = v.event_id"
    " WHERE v.flagged AND v.time <= ?1 AND (v.time, e.request_id) < (?1, ?2) AND NOT EXISTS (SELECT 1 FROM verdicts n"
    " WHERE n.event_id > e.request_id || '/' AND n.event_id < e.request_id || '0' AND n.flagged AND n.time > v.time)"
    " ORDER BY v.time DESC, e.request_id DESC LIMIT ?3"
)
_OF_CONVERSATION = (
    "SELECT min(time), request_id FROM events WHERE conversation = ? AND conversation <> '' AND shadow_of = '' GROUP BY request_id"
    " ORDER BY 1 DESC, 2 DESC LIMIT ?"
)
# An event id starts with its request id and "/": a range of primary keys. The tokens of an end are unknown if both counts are 0.
_EVENTS = (
    "SELECT event_id, request_id, side, tenant, model, status, time, latency_seconds,"
    " iif(prompt_tokens + completion_tokens, completion_tokens, NULL), traceparent, owed, shadow_of"
    " FROM events WHERE event_id > ?1 || '/' AND event_id < ?1 || '0' ORDER BY time, event_id"
)
_VERDICTS = (
    "SELECT event_id, detector, side, flagged, label, score FROM verdicts WHERE event_id > ?1 || '/' AND event_id < ?1 || '0'"
    " ORDER BY side, detector, version"
)


# Requests with a bad label or rating, without a correction or an approval. Of each API key, only the last rating counts.
_BAD = (
    "SELECT request_id, tenant, time FROM feedback f WHERE rating IN ('down', '1', '2') AND NOT EXISTS (SELECT 1 FROM feedback n"
    " WHERE n.request_id = f.request_id AND n.tenant = f.tenant AND n.principal = f.principal AND n.rating <> ''"
    " AND (n.time, n.event_id) > (f.time, f.event_id))"
    " UNION ALL SELECT request_id, tenant, time FROM labels WHERE value < 0.5"
)
_REVIEWED = "SELECT request_id, tenant FROM corrections WHERE answer OR approved"


class VerdictMark(msgspec.Struct, frozen=True, kw_only=True):
    """The short form of a verdict."""

    detector: str
    side: str
    flagged: bool
    label: str
    score: float


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a list. `status` is "" until the request ends; `shadow_of` is as in :class:`RequestEvents`.

    `tokens` is the number of tokens of the answer, or None if it is unknown. `pending` lists the pending verdicts as ``side/detector``.
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
    shadow_of: str = ""


class RequestPage(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, newest first; `next` is the value of `before` for the next page, or "" on the last page.

    A filtered page can have few or no rows although a next page exists, because the number of scanned rows is limited.
    """

    requests: list[RequestRow]
    next: str = ""


def request_page(
    databases: Sequence[sqlite3.Connection],
    *,
    limit: int,
    before: Cursor = NEWEST,
    tenant: str = "",
    flagged: bool = False,
) -> RequestPage:
    """Return the page of requests that begins after the row `before`, over all partitions.

    `tenant` selects the requests of one tenant; "" selects all. `flagged` selects requests with a flagged verdict,
    ordered by the time of the newest flagged verdict.
    """
    scans = [_scan(database, before, tenant, limit, _FLAGGED if flagged else _ACCEPTED) for database in databases]
    # Below the largest end, rows of that partition would be missing.
    end = max((end for _, end in scans if end is not None), default=None)
    matches = [
        (match, partition)
        for partition, (found, _) in enumerate(scans)
        for match in found
        if end is None or match >= end
    ]
    matches.sort(reverse=True)
    page = matches[:limit]
    rows = [row for match, partition in page if (row := _row(databases[partition], match.id)) is not None]
    following = page[-1][0] if len(matches) > limit else end
    return RequestPage(requests=rows, next="" if following is None else str(following))


def _scan(
    database: sqlite3.Connection, before: Cursor, tenant: str, limit: int, query: str
) -> tuple[list[Cursor], Cursor | None]:
    """Return the matching rows of one partition, and the last scanned row, or None if all rows were scanned."""
    most = max(_SCANNED, limit) if tenant else limit
    rows = database.execute(query, (*before, most + 1)).fetchall()  # one more shows whether others follow
    return (
        [Cursor(time, request_id) for time, request_id, owner in rows[:most] if tenant in ("", owner)],
        Cursor(*rows[most - 1][:2]) if len(rows) > most else None,
    )


def answers_to_review(databases: Sequence[sqlite3.Connection], limit: int) -> list[RequestRow]:
    """Return at most `limit` requests whose answers wait for a review, the newest judgment first.

    Such an answer was rated ``down``, 1 or 2, or has a label below 0.5, by a principal of its tenant, and nobody has
    corrected or approved it. Of several ratings by one principal, the last one counts.
    """
    newest: dict[tuple[str, str], float] = {}
    for database in databases:
        for request_id, tenant, time in database.execute(_BAD):
            newest[request_id, tenant] = max(newest.get((request_id, tenant), time), time)
    for database in databases:
        for subject in database.execute(_REVIEWED):
            newest.pop(subject, None)
    ordered = [
        subject for _time, subject in sorted(((time, subject) for subject, time in newest.items()), reverse=True)
    ]
    found: list[RequestRow] = []
    for request_id, tenant in ordered:
        row = next((row for database in databases if (row := _row(database, request_id)) is not None), None)
        found += [row] if row is not None and row.tenant == tenant else []
        if len(found) == limit:
            break
    return found


def request_rows(databases: Iterable[sqlite3.Connection], request_ids: Iterable[str]) -> dict[str, RequestRow]:
    """Return {request id: row} of the given requests that the ledger contains."""
    wanted = list(dict.fromkeys(request_ids))
    rows: dict[str, RequestRow] = {}
    for database in databases:
        for request_id in wanted:
            if request_id not in rows and (row := _row(database, request_id)) is not None:
                rows[request_id] = row
    return rows


def _row(database: sqlite3.Connection, request_id: str) -> RequestRow | None:
    events = database.execute(_EVENTS, (request_id,)).fetchall()
    return _joined(events, database.execute(_VERDICTS, (request_id,)).fetchall()) if events else None


def _joined(events: list[tuple[Any, ...]], verdicts: list[tuple[Any, ...]]) -> RequestRow:
    _event_id, request_id, _side, tenant, model, *_ = events[0]
    end = next((event for event in reversed(events) if event[5] is not None), None)
    completed = {(event_id, detector) for event_id, detector, *_ in verdicts}
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
            for _event, detector, side, flagged, label, score in verdicts
        ],
        pending=[
            f"{event[2]}/{detector}"
            for event in events
            for detector in (event[10].split(",") if event[10] else ())
            if (event[0], detector) not in completed
        ],
        shadow_of=events[0][11],
    )


def first_request(databases: Iterable[sqlite3.Connection], tenant: str, model: str) -> float | None:
    """Return the event time of the first events of a tenant and model that the ledger has; None without any."""
    query = "SELECT min(hour) FROM requests WHERE tenant = ? AND model = ?"
    hours = [hour for database in databases for (hour,) in database.execute(query, (tenant, model)) if hour is not None]
    if not hours:
        return None
    since: float = min(hours) * _HOUR_SECONDS
    # The index on the time limits the search to one hour.
    query = "SELECT min(time) FROM events WHERE time >= ? AND time < ? AND tenant = ? AND model = ?"
    bounds = (since, since + _HOUR_SECONDS, tenant, model)
    times = [time for database in databases for (time,) in database.execute(query, bounds) if time is not None]
    return min(times, default=since)


def conversation_requests(
    databases: Sequence[sqlite3.Connection], conversation_id: str, *, tenant: str, limit: int
) -> list[str]:
    """Return the ids of the newest `limit` requests of a conversation of `tenant`, oldest first."""
    return _newest(databases, [conversation_key(tenant, conversation_id)], limit)


def conversation_tenants(databases: Sequence[sqlite3.Connection], conversation_id: str) -> list[str]:
    """Return the tenants that have a conversation with this id, in order."""
    return [name for name in tenants(databases) if _newest(databases, [conversation_key(name, conversation_id)], 1)]


def tenants(databases: Iterable[sqlite3.Connection]) -> list[str]:
    """Return the tenants that have requests, in order."""
    query = "SELECT DISTINCT tenant FROM request_totals"
    return sorted({name for database in databases for (name,) in database.execute(query)})


def conversation_of_request(databases: Sequence[sqlite3.Connection], request_id: str, *, limit: int) -> list[str]:
    """Return the ids of the newest `limit` requests of a request's conversation, oldest first; [] without a conversation."""
    query = "SELECT conversation FROM events WHERE event_id > ?1 || '/' AND event_id < ?1 || '0' AND conversation <> ''"
    keys = {key for database in databases for (key,) in database.execute(query, (request_id,))}
    return _newest(databases, keys, limit)


def _newest(databases: Sequence[sqlite3.Connection], keys: Iterable[str], limit: int) -> list[str]:
    found = [row for key in keys for database in databases for row in database.execute(_OF_CONVERSATION, (key, limit))]
    return [request_id for _, request_id in sorted(found)[-limit:]]


def traffic(databases: Iterable[sqlite3.Connection], until: float, seconds: int) -> tuple[list[int], list[int]]:
    """Return the numbers of users' requests and of flagged verdicts in each second of the `seconds` before `until`, in order."""
    requests, flagged = [0] * seconds, [0] * seconds
    queries = (
        (requests, "SELECT time FROM events WHERE time >= ? AND side = 'input' AND shadow_of = ''"),
        (flagged, "SELECT time FROM verdicts WHERE time >= ? AND flagged"),
    )
    first = until - seconds
    for database in databases:
        for counts, query in queries:
            for (time,) in database.execute(query, (first,)):
                if 0 <= (second := int(time - first)) < seconds:
                    counts[second] += 1
    return requests, flagged
