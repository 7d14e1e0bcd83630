"""One inference partition in the ledger: its events joined with the verdicts that they are owed.

The state is a function of the set of records read, whatever their interleaving over topics and however often each came: a
verdict may arrive before its event, late, twice, or from two versions of a detector. Order within a partition matters for
ticks alone, and those only ever move on.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.ledger.detector_health import Hearing
from stream.ledger.record_batches import LogRecord, Unstored, read_new, start_progress, store, write_progress
from stream.ledger.schema import open_shard, transaction
from stream.ledger.sources import ALERT_SHARE, CLEAR_SHARE
from stream.wire import (
    ABORTED,
    Closed,
    Event,
    ExplanationRecord,
    Feedback,
    GapRecord,
    RequestRecord,
    ResponseRecord,
    Tick,
    Verdict,
)

__all__ = ["HOUR_SECONDS", "Shard"]

HOUR_SECONDS = 3600
ERROR_LABEL = "error"
_WORDS = 20

_PairKey = tuple[int, str, str, str, str]
_INSERT_EVENT = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: Of a repeat only that which turns an error into an answer changes anything.
_INSERT_VERDICT = """
INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  flagged = excluded.flagged, label = excluded.label, score = excluded.score, covered = excluded.covered,
  spans = excluded.spans, offset = excluded.offset
WHERE label = 'error' AND excluded.label <> 'error'
"""
#: A tick of capture: times never go back, and the newest one has the word on the spool.
_CAPTURE_TICK = """
INSERT INTO sources (source, first_time, capture_time, spool, spool_since)
VALUES (?1, ?2, ?2, ?3, CASE WHEN ?3 >= ?4 THEN ?2 END) ON CONFLICT DO UPDATE SET
  first_time = min(ifnull(first_time, ?2), ?2),
  capture_time = max(ifnull(capture_time, ?2), ?2),
  spool = CASE WHEN ifnull(capture_time, ?2) <= ?2 THEN ?3 ELSE spool END,
  spool_since = CASE WHEN ifnull(capture_time, ?2) > ?2 THEN spool_since WHEN ?3 >= ?4 THEN ifnull(spool_since, ?2)
    WHEN ?3 < ?5 THEN NULL ELSE spool_since END
"""
_JSON = msgspec.json.Encoder(order="deterministic")


class Shard:
    """The file of one inference partition.

    Parameters
    ----------
    path
        The SQLite file; ``:memory:`` keeps it in memory.
    retention_seconds
        Rows older than the newest event by more are dropped, as they are in the log.
    unstored
        Called once for each record that cannot be stored.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        retention_seconds: float = float("inf"),
        unstored: Unstored = lambda: None,
    ) -> None:
        self.database = open_shard(path)
        self._retention_seconds = retention_seconds
        self._unstored = unstored
        self._hearing = Hearing(self.database)
        self._pairs: Counter[tuple[_PairKey, str]] = Counter()
        self._requests: Counter[tuple[tuple[int, str, str], str]] = Counter()
        self._newest = 0.0
        self._floor = self._stored_floor()
        self._handlers: dict[type, Callable[[LogRecord, Event, Any], None]] = {
            RequestRecord: self._request,
            ResponseRecord: self._end,
            Verdict: self._verdict,
            ExplanationRecord: self._explanation,
            Tick: self._tick,
            Closed: self._closed,
            GapRecord: self._gap,
            Feedback: self._feedback,
        }

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def apply(self, records: Sequence[LogRecord]) -> int:
        """Take a batch in one transaction, rows and offsets together; return how many records were new, readable and storable."""
        return store(self.database, records, self._apply, self._unstored)

    def _apply(self, records: Sequence[LogRecord]) -> int:
        taken, newest = 0, self._newest
        try:
            with transaction(self.database):
                progress = start_progress(self.database)
                for record, event in read_new(records, progress):
                    handler = self._handlers.get(type(event.data))
                    if handler is not None:
                        handler(record, event, event.data)
                        taken += 1
                self._write_counts()
                self._hearing.write()
                write_progress(self.database, progress)
        except BaseException:
            self._newest = newest
            raise
        finally:
            self._pairs.clear()
            self._requests.clear()
            self._hearing.clear()
        return taken

    # -- events

    def _request(self, record: LogRecord, event: Event, data: RequestRecord) -> None:
        if self._insert_event(record, event, data, "input", (None,) * 6):
            self._requests[((_hour(event.time), data.tenant, data.model), "requests")] += 1

    def _end(self, record: LogRecord, event: Event, data: ResponseRecord) -> None:
        details = (
            data.status,
            data.finish_reason,
            data.usage.prompt_tokens,
            data.usage.completion_tokens,
            data.latency_seconds,
            data.time_to_first_token_seconds,
        )
        if data.status != ABORTED and event.time >= self._floor:
            self._displace_aborted(event.id)
        if self._insert_event(record, event, data, "output", details):
            self._requests[((_hour(event.time), data.tenant, data.model), "ends")] += 1

    def _displace_aborted(self, event_id: str) -> None:
        """Make room for the end that was told: one that was written for a source which died says nothing but that, and owes nothing.

        Whoever sends an exchange again after such a death (intake) ends its request a second time; the other order needs nothing.
        """
        query = "DELETE FROM events WHERE event_id = ? AND status = ? AND owed = '' RETURNING time, tenant, model"
        for time, tenant, model in self.database.execute(query, (event_id, ABORTED)).fetchall():
            self._requests[((_hour(time), tenant, model), "ends")] -= 1

    def _insert_event(
        self,
        record: LogRecord,
        event: Event,
        data: RequestRecord | ResponseRecord,
        side: str,
        details: tuple[Any, ...],
    ) -> bool:
        if event.time < self._floor:
            return False
        owed = tuple(dict.fromkeys(data.owed))
        kind = event.type.removeprefix("weir.inference.").removesuffix(".v1")
        row = (event.id, data.request_id, side, data.tenant, data.model, kind, *details, event.traceparent, event.time)
        row += (event.source, ",".join(owed), record.topic, record.partition, record.offset)
        fresh = self.database.execute(_INSERT_EVENT, row).rowcount == 1
        if fresh:
            self._newest = max(self._newest, event.time)
            self._owe(event, data, side, owed)
        return fresh

    def _owe(self, event: Event, data: RequestRecord | ResponseRecord, side: str, owed: tuple[str, ...]) -> None:
        if not owed:
            return
        found = self._labels(event.id)
        for detector in owed:
            key = (_hour(event.time), side, detector, data.tenant, data.model)
            self._pairs[(key, "owed")] += 1
            if labels := found.get(detector):
                self._settle(key, event.id, data.request_id, event.time, error=labels == {ERROR_LABEL})
            else:
                row = (event.id, detector, data.request_id, side, data.tenant, data.model, event.source, event.time)
                self.database.execute("INSERT INTO unsettled VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _labels(self, event_id: str) -> dict[str, set[str]]:
        labels: dict[str, set[str]] = {}
        query = "SELECT detector, label FROM verdicts WHERE event_id = ?"
        for detector, label in self.database.execute(query, (event_id,)):
            labels.setdefault(detector, set()).add(label)
        return labels

    def _settle(self, key: _PairKey, event_id: str, request_id: str, time: float, *, error: bool) -> None:
        self._pairs[(key, "settled")] += 1
        detector = key[2]
        if error:
            self._pairs[(key, "errors")] += 1
            self._hearing.failed(event_id, detector, request_id, time)
        else:
            self._hearing.answered(detector, time)

    # -- verdicts

    def _verdict(self, record: LogRecord, event: Event, data: Verdict) -> None:
        if event.time < self._floor:
            return
        before = self._labels(data.event_id).get(data.detector)
        if not self._insert_verdict(record, event, data):
            return
        if before is None:
            self._first_verdict(data)
        elif before == {ERROR_LABEL} and data.label != ERROR_LABEL:
            self._mend(data)

    def _insert_verdict(self, record: LogRecord, event: Event, data: Verdict) -> bool:
        what = (data.event_id, data.detector, data.version, data.side)
        decision = (data.flagged, data.label, data.score, data.covered, _JSON.encode(data.spans).decode())
        row = (*what, *decision, event.time, record.offset)
        return self.database.execute(_INSERT_VERDICT, row).rowcount == 1

    def _first_verdict(self, data: Verdict) -> None:
        pair = self.database.execute(
            "DELETE FROM unsettled WHERE event_id = ? AND detector = ? RETURNING time, side, detector, tenant, model",
            (data.event_id, data.detector),
        ).fetchone()
        if pair is not None:
            key, time = (_hour(pair[0]), *pair[1:]), pair[0]
            self._settle(key, data.event_id, data.request_id, time, error=data.label == ERROR_LABEL)

    def _mend(self, data: Verdict) -> None:
        query = "SELECT time, side, tenant, model, owed FROM events WHERE event_id = ?"
        event = self.database.execute(query, (data.event_id,)).fetchone()
        if event is not None and data.detector in event[4].split(","):
            self._pairs[((_hour(event[0]), event[1], data.detector, event[2], event[3]), "errors")] -= 1
            self._hearing.mended(data.event_id, data.detector, event[0])

    def _explanation(self, record: LogRecord, event: Event, data: ExplanationRecord) -> None:
        """Keep which words a verdict rests on; nothing else depends on it."""
        del record
        if event.time < self._floor:
            return
        what = (data.event_id, data.detector, data.version, data.method, data.base, data.score, data.attributed)
        row = (*what, _JSON.encode(data.words[:_WORDS]).decode(), event.time)
        self.database.execute("INSERT OR IGNORE INTO explanations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    # -- sources and time

    def _tick(self, record: LogRecord, event: Event, data: Tick) -> None:
        del record, event
        if data.stage == "score":
            for source, time in data.sources.items():
                self._move(source, "score", time, closed=False)
            for source in data.closed:
                self._move(source, "score", None, closed=True)
        elif data.stage == "capture":
            for source, time in data.sources.items():
                self._newest = max(self._newest, time)
                self.database.execute(_CAPTURE_TICK, (source, time, data.spool, ALERT_SHARE, CLEAR_SHARE))

    def _closed(self, record: LogRecord, event: Event, data: Closed) -> None:
        del record, event
        self._move(data.source, "capture", data.time, closed=True)

    def _move(self, source: str, stage: str, time: float | None, *, closed: bool) -> None:
        """Move a source's time on; a time of None moves nothing, and none goes back."""
        first = time if stage == "capture" else None
        self.database.execute(
            f"INSERT INTO sources (source, first_time, {stage}_time, {stage}_closed) VALUES (?1, ?2, ?3, ?4)"  # noqa: S608 - stage is ours
            " ON CONFLICT DO UPDATE SET first_time = ifnull(min(first_time, ?2), ifnull(first_time, ?2)),"
            f" {stage}_time = ifnull(max({stage}_time, ?3), ifnull({stage}_time, ?3)),"
            f" {stage}_closed = max({stage}_closed, ?4)",
            (source, first, time, closed),
        )

    # -- the rest

    def _gap(self, record: LogRecord, event: Event, data: GapRecord) -> None:
        """Keep a gap record with the log time at which it stands in this partition: what comes later stands no earlier."""
        del record
        told = self.database.execute("SELECT max(capture_time) FROM sources").fetchone()[0]
        logged = event.time if told is None else told
        row = (event.id, data.source, data.first_number, data.last_number, data.count, data.reason, event.time, logged)
        self.database.execute("INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        links = [(request_id, event.id) for request_id in data.request_ids]
        self.database.executemany("INSERT OR IGNORE INTO gap_requests VALUES (?, ?)", links)

    def _feedback(self, record: LogRecord, event: Event, data: Feedback) -> None:
        what = (event.id, data.request_id, data.alert_id, data.label, data.tenant, data.principal)
        row = (*what, event.time, record.partition, record.offset)
        self.database.execute("INSERT OR IGNORE INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _write_counts(self) -> None:
        for (key, column), count in self._pairs.items():
            self.database.execute(
                "INSERT INTO pairs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET"
                " owed = owed + ?6, settled = settled + ?7, errors = errors + ?8",
                (*key, *(count if column == name else 0 for name in ("owed", "settled", "errors"))),
            )
        for (place, column), count in self._requests.items():
            self.database.execute(
                "INSERT INTO requests VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET"
                " requests = requests + ?4, ends = ends + ?5",
                (*place, *(count if column == name else 0 for name in ("requests", "ends"))),
            )

    def _stored_floor(self) -> float:
        row = self.database.execute("SELECT value FROM meta WHERE key = 'floor'").fetchone()
        return float(row[0]) if row else 0.0

    def expire(self) -> float:
        """Drop whole hours that the log no longer keeps; return the time below which nothing is kept."""
        floor = (_hour(self._newest - self._retention_seconds) * HOUR_SECONDS) if self._newest else 0.0
        if floor <= self._floor:
            return self._floor
        with transaction(self.database) as database:
            for table in ("events", "verdicts", "explanations", "unsettled", "failed", "gaps", "feedback"):
                database.execute(f"DELETE FROM {table} WHERE time < ?", (floor,))  # noqa: S608 - our own names
            for table in ("pairs", "requests"):
                database.execute(f"DELETE FROM {table} WHERE hour < ?", (_hour(floor),))  # noqa: S608 - as above
            database.execute("DELETE FROM gap_requests WHERE event_id NOT IN (SELECT event_id FROM gaps)")
            database.execute("DELETE FROM sources WHERE ifnull(capture_time, score_time) < ?", (floor,))
            database.execute("INSERT OR REPLACE INTO meta VALUES ('floor', ?)", (repr(floor),))
        self._floor = floor
        return floor


def _hour(time: float) -> int:
    return int(max(time, 0.0) // HOUR_SECONDS)
