"""What capture accepted and could not keep, as the log tells it: gap records, in episodes.

An episode is a run of gap records with less than `resolve_seconds` between one and the next. It is one alert, whose beginning, end
and id are a function of the log, however often and how late the ledger looks: a record counts at the log time of its partition
where it stands, and only once no partition can bring an earlier one any more.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable

import msgspec

__all__ = ["Gaps", "gaps_of"]

_EVIDENCE = 20


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """The first episode of gap records that no alert has told to its end.

    Parameters
    ----------
    records
        Gap records in it; 0 where there is no such episode.
    lost
        Requests and ends that they count.
    sources, reasons
        The same by source and by reason (``full``, ``disk``, ``oversize``, ``damaged``), most first.
    requests, requests_total
        Request ids that they name, 20 at most, and how many they name.
    first
        Identity of its first record.
    began, newest
        Log times of its first and of its newest record.
    over
        Log time at which it was over; None while another record may still belong to it.
    """

    records: int = 0
    lost: int = 0
    sources: dict[str, int] = {}
    reasons: dict[str, int] = {}
    requests: tuple[str, ...] = ()
    requests_total: int = 0
    first: str = ""
    began: float = 0.0
    newest: float = 0.0
    over: float | None = None


class _Row(msgspec.Struct, frozen=True, order=True):
    logged: float
    event_id: str
    source: str
    count: int
    reason: str


def gaps_of(
    databases: Iterable[sqlite3.Connection], *, since: float, until: float | None, resolve_seconds: float
) -> Gaps:
    """Return the first episode that ends after `since`.

    Parameters
    ----------
    since
        Where the last gap alert resolved: every episode that was over by then has been told.
    until
        Log time that every partition has been read to; None where one has told none.
    resolve_seconds
        Log time without a gap record that ends an episode.

    Notes
    -----
    Reads the gap records after `since` alone; capture writes one where room was freed, not one a request.
    """
    if until is None:
        return Gaps()
    opened = list(databases)
    rows = sorted(row for database in opened for row in _rows(database, since - resolve_seconds, until))
    for episode in _episodes(rows, resolve_seconds):
        over = episode[-1].logged + resolve_seconds
        if over > since:
            return _told(opened, episode, over if over <= until else None)
    return Gaps()


def _rows(database: sqlite3.Connection, after: float, until: float) -> list[_Row]:
    query = "SELECT logged, event_id, source, count, reason FROM gaps WHERE logged > ? AND logged < ?"
    return [_Row(*row) for row in database.execute(query, (after, until))]


def _episodes(rows: list[_Row], resolve_seconds: float) -> Iterable[list[_Row]]:
    episode: list[_Row] = []
    for row in rows:
        if episode and row.logged >= episode[-1].logged + resolve_seconds:
            yield episode
            episode = []
        episode.append(row)
    if episode:
        yield episode


def _told(databases: list[sqlite3.Connection], episode: list[_Row], over: float | None) -> Gaps:
    sources: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for row in episode:
        sources[row.source] += row.count
        reasons[row.reason] += row.count
    requests, total = _requests(databases, episode)
    return Gaps(
        records=len(episode),
        lost=sources.total(),
        sources=_most_first(sources),
        reasons=_most_first(reasons),
        requests=requests,
        requests_total=total,
        first=episode[0].event_id,
        began=episode[0].logged,
        newest=episode[-1].logged,
        over=over,
    )


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _requests(databases: list[sqlite3.Connection], episode: list[_Row]) -> tuple[tuple[str, ...], int]:
    """Return the first ids, in the order of their records, and how many there are (a request and its end may both be lost)."""
    first, last = episode[0].logged, episode[-1].logged
    where = "FROM gap_requests r JOIN gaps g ON g.event_id = r.event_id WHERE g.logged BETWEEN ? AND ?"
    total, named = 0, []
    for database in databases:
        total += database.execute(f"SELECT count(DISTINCT r.request_id) {where}", (first, last)).fetchone()[0]
        query = f"SELECT g.logged, g.event_id, r.request_id {where} ORDER BY 1, 2, 3 LIMIT {2 * _EVIDENCE}"
        named += database.execute(query, (first, last)).fetchall()
    return tuple(dict.fromkeys(request for _, _, request in sorted(named)))[:_EVIDENCE], total
