"""Groups gap records into episodes. A gap record counts records that capture accepted but could not deliver.

An episode is a run of gap records with less than `resolve_seconds` between neighbouring records. Each episode is one
alert, whose id, start and end are a function of the log. To ensure this, a gap record starts at the watermark of its
partition, and a record counts only when no partition can add an earlier record. A record ends at its event time, because
a full spool has no ticks: the watermark can be as old as the start of the loss.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from stream.count_text import count_text
from stream.ledger.alerts.condition import Condition, counted
from stream.ledger.coverage import EVIDENCE
from stream.ledger.schema import select


class GapEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """One episode: `records` is its number of gap records, and `lost` is the sum of their counts of lost records.

    `sources` and `reasons` are {name: number of lost records}. `requests` contains at most 20 of `requests_total`
    request ids. `first` is the event id of the first gap record, and `began` is the time of that record. `over` is the
    event time of the episode's end, or None while the episode can still grow.
    """

    records: int = 0
    lost: int = 0
    sources: dict[str, int] = {}
    reasons: dict[str, int] = {}
    requests: tuple[str, ...] = ()
    requests_total: int = 0
    first: str = ""
    began: float = 0.0
    over: float | None = None


class _Gap(msgspec.Struct, frozen=True, order=True):
    logged: float
    event_id: str
    source: str
    count: int
    reason: str
    ended: float


def next_gap_episode(
    databases: Sequence[sqlite3.Connection], *, since: float, until: float | None, resolve_seconds: float
) -> GapEpisode:
    """Return the first episode that ends after `since`, or an empty episode if there is none.

    `since` is the end of the last resolved gap alert. Every partition was read up to event time `until`; if `until` is
    None, the episode is empty. Few rows are read: capture writes one gap record for many lost requests.
    """
    if until is None:
        return GapEpisode()
    query = "SELECT logged, event_id, source, count, reason, max(logged, time) AS ended FROM gaps WHERE logged > ? AND logged < ?"
    bounds = (since - resolve_seconds, until)
    records = sorted(record for database in databases for record in select(database, _Gap, query, bounds))
    for episode in _episodes(records, resolve_seconds):
        over = _end(episode) + resolve_seconds
        if over > since:
            return _summarised(databases, episode, over if over <= until else None)
    return GapEpisode()


def _episodes(records: list[_Gap], resolve_seconds: float) -> Iterable[list[_Gap]]:
    episode: list[_Gap] = []
    for record in records:
        if episode and record.logged >= _end(episode) + resolve_seconds:
            yield episode
            episode = []
        episode.append(record)
    if episode:
        yield episode


def _end(episode: list[_Gap]) -> float:
    return max(record.ended for record in episode)


def _summarised(databases: Sequence[sqlite3.Connection], episode: list[_Gap], over: float | None) -> GapEpisode:
    sources: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for record in episode:
        sources[record.source] += record.count
        reasons[record.reason] += record.count
    requests, total = _requests(databases, episode)
    return GapEpisode(
        records=len(episode),
        lost=sources.total(),
        sources=dict(sources),
        reasons=dict(reasons),
        requests=requests,
        requests_total=total,
        first=episode[0].event_id,
        began=episode[0].logged,
        over=over,
    )


def _requests(databases: Sequence[sqlite3.Connection], episode: list[_Gap]) -> tuple[tuple[str, ...], int]:
    """Return the first request ids, in the order of the gap records, and the number of distinct request ids."""
    first, last = episode[0].logged, episode[-1].logged
    where = "FROM gap_requests r JOIN gaps g ON g.event_id = r.event_id WHERE g.logged BETWEEN ? AND ?"
    query = f"SELECT g.logged, g.event_id, r.request_id {where} ORDER BY 1, 2, 3 LIMIT {2 * EVIDENCE}"
    total, named = 0, []
    for database in databases:
        total += database.execute(f"SELECT count(DISTINCT r.request_id) {where}", (first, last)).fetchone()[0]
        named += database.execute(query, (first, last)).fetchall()
    return tuple(dict.fromkeys(request for _, _, request in sorted(named)))[:EVIDENCE], total


def lost_records(gaps: GapEpisode) -> Condition:
    """Return the condition that opens the alert about the episode `gaps`."""
    return Condition(
        detector="gap",
        severity="critical",
        summary=(
            f"{count_text(gaps.lost, 'record of an accepted request was', 'records of accepted requests were')} lost and not monitored."
            f" Reasons: {counted(gaps.reasons)}. Sources: {counted(gaps.sources)}"
        ),
        opening=gaps.first,
        opened_at=gaps.began,
        evidence=gaps.requests,
        evidence_total=gaps.requests_total,
        statistic=float(gaps.lost),
    )
