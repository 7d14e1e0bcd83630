"""The progress of each capture source, computed from its ticks: watermark, lag of verdicts, usage of its spool.

Without Kafka no tick arrives. `weir status` then reads the usage of spools from the disk.
"""

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from stream.ledger.alerts.full_spool import ALERT_SHARE, CLEAR_SHARE, FullSpool
from stream.ledger.schema import select

#: Key in the table ``meta``: the event time before which Kafka has deleted verdicts and ticks of score.
VERDICTS_SINCE = "verdicts_since"
#: Times only increase. The newest tick of a source decides about its spool.
_CAPTURE_TICK = f"""
INSERT INTO sources (source, first_time, capture_time, spool, spool_since)
VALUES (?1, ?2, ?2, ?3, CASE WHEN ?3 >= {ALERT_SHARE} THEN ?2 END) ON CONFLICT DO UPDATE SET
  first_time = min(ifnull(first_time, ?2), ?2),
  capture_time = max(ifnull(capture_time, ?2), ?2),
  spool = CASE WHEN ifnull(capture_time, ?2) <= ?2 THEN ?3 ELSE spool END,
  spool_since = CASE WHEN ifnull(capture_time, ?2) > ?2 THEN spool_since WHEN ?3 >= {ALERT_SHARE} THEN ifnull(spool_since, ?2)
    WHEN ?3 < {CLEAR_SHARE} THEN NULL ELSE spool_since END
"""  # noqa: S608 - constants


class SourceTime(msgspec.Struct, frozen=True, kw_only=True):
    """The newest tick times of one source in one partition.

    `spool` is the used share of the source's spool at the last tick. `spool_since` is the time of the tick at which
    this share reached :data:`ALERT_SHARE`. It becomes None again if the share falls below :data:`CLEAR_SHARE`.
    """

    source: str
    first_time: float | None
    capture_time: float | None
    capture_closed: bool
    score_time: float | None
    score_closed: bool
    spool: float = 0.0
    spool_since: float | None = None


#: {partition: its sources}
Sources = Mapping[int, Sequence[SourceTime]]


def capture_tick(database: sqlite3.Connection, source: str, time: float, spool: float) -> None:
    """Store capture's tick of `source` at `time`, with the used share of its spool."""
    database.execute(_CAPTURE_TICK, (source, time, spool))


def advance_source(
    database: sqlite3.Connection, source: str, stage: str, *, time: float | None = None, closed: bool = False
) -> None:
    """Advance the time of `stage` (``capture``, ``score``) for a source; ignore a smaller time or None."""
    first = time if stage == "capture" else None
    database.execute(
        f"INSERT INTO sources (source, first_time, {stage}_time, {stage}_closed) VALUES (?1, ?2, ?3, ?4)"  # noqa: S608 - two names
        " ON CONFLICT DO UPDATE SET first_time = ifnull(min(first_time, ?2), ifnull(first_time, ?2)),"
        f" {stage}_time = ifnull(max({stage}_time, ?3), ifnull({stage}_time, ?3)),"
        f" {stage}_closed = max({stage}_closed, ?4)",
        (source, first, time, closed),
    )


def awaited_tick(database: sqlite3.Connection, source: str, time: float) -> tuple[str, float]:
    """Return the source and the time that score's tick must pass before absent verdicts of the event being read are missing.

    These are the event's own, unless a tick of capture with a later time precedes the event in the log, or its source
    is closed: a dead letter can be replayed after a restart of its gateway. Then score's next tick counts.
    """
    own = database.execute("SELECT capture_time, capture_closed FROM sources WHERE source = ?", (source,)).fetchone()
    reached, closed = own or (None, False)
    if closed:
        newest = "SELECT max(capture_time), source FROM sources WHERE NOT capture_closed"
        reached, other = database.execute(newest).fetchone()
        source = source if reached is None else other
    return source, time if reached is None else max(time, reached)


def source_times(database: sqlite3.Connection) -> list[SourceTime]:
    """Return the sources of one partition; if Kafka deleted score's ticks before a time, `score_time` is at least this time."""
    query = (
        "SELECT source, first_time, capture_time, capture_closed, score_closed, spool, spool_since,"
        " ifnull(max(score_time, since), ifnull(score_time, since)) AS score_time"
        " FROM sources LEFT JOIN (SELECT CAST(value AS REAL) AS since FROM meta WHERE key = ?)"
    )
    return select(database, SourceTime, query, (VERDICTS_SINCE,))


def watermark(sources: Sources) -> float:
    """Return the newest tick time of any source, or 0 if there is no tick; closed sources count only if every source is closed.

    So the time is correct again after a gateway with a fast clock is restarted.
    """
    entries = [entry for partition in sources.values() for entry in partition]
    active = [entry for entry in entries if not entry.capture_closed]
    return _newest(active or entries) or 0.0


def read_watermark(sources: Sources) -> float | None:
    """Return the event time up to which all partitions were read, or None if a partition has no tick yet."""
    times = [_newest(partition) for partition in sources.values()]
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def _newest(partition: Sequence[SourceTime]) -> float | None:
    return max((source.capture_time for source in partition if source.capture_time is not None), default=None)


def verdict_lag(sources: Sources) -> tuple[float, str]:
    """Return the largest lag of a source's verdicts behind inference (seconds), and an id for an alert about it."""
    worst, identity = 0.0, ""
    for partition, entries in sorted(sources.items()):
        for entry in entries:
            scored = entry.score_time if entry.score_time is not None else entry.first_time
            if entry.score_closed or entry.capture_time is None or scored is None:
                continue
            if entry.capture_time - scored > worst:
                worst, identity = entry.capture_time - scored, f"{partition}/{entry.source}@{scored}"
    return worst, identity


def full_spools(sources: Sources) -> tuple[FullSpool, ...]:
    """Return the sources that are not closed and whose newest tick over all partitions reports a full spool."""
    newest: dict[str, SourceTime] = {}
    for entry in (entry for partition in sources.values() for entry in partition):
        known = newest.get(entry.source)
        if known is None or _progress(entry) > _progress(known):
            newest[entry.source] = entry
    return tuple(
        FullSpool(source=name, since=entry.spool_since, share=entry.spool)
        for name, entry in sorted(newest.items())
        if entry.spool_since is not None and not entry.capture_closed
    )


def _progress(entry: SourceTime) -> tuple[bool, float]:
    return entry.capture_closed, entry.capture_time or 0.0
