"""Stores the events of one inference partition, joined with their verdicts.

The state is a function of the set of records. Duplicates and the order of topics have no effect: a verdict can arrive
before its event, late, twice, or from two versions of a detector. Only the order of ticks within a partition matters.

Kafka can delete verdicts before it deletes their events. If a rebuild then reads the events, their absent verdicts are not
missing: of the events before `_verdicts_since`, only the verdicts that the log contains count as expected.
"""

import time as clock
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from stream.ledger.detector_health import DetectorHealth
from stream.ledger.ledger_file import LedgerFile, LogRecord, Unstored
from stream.ledger.queries.reviews import IS_REVIEW
from stream.ledger.schema import JSON, open_shard, transaction
from stream.ledger.sources import VERDICTS_SINCE, advance_source, awaited_tick, capture_tick
from stream.wire import (
    ABORTED,
    SHOWN_REASON,
    Closed,
    CorrectionRecord,
    Event,
    ExplanationRecord,
    Feedback,
    GapRecord,
    LabelRecord,
    RequestRecord,
    ResponseRecord,
    Tick,
    Verdict,
    conversation_key,
)

HOUR_SECONDS = 3600
#: Divides an hour. A minute of 100 requests per second in 8 partitions has 6,000 rows.
_EXPIRED_SECONDS = 60
ERROR_LABEL = "error"
_WORDS = 20
#: Number of newest reviews of each tenant that are kept. Reviews do not expire, and a client can review alerts that do not exist.
_REVIEWS = 100_000
#: Score publishes a verdict at most this much event time before the tick that passes its event.
_MARGIN_SECONDS = 60.0
#: Prefix of the key in the table ``meta`` of a topic of which Kafka deleted records; deleted with score's next tick.
_DELETED_FROM = "deleted_from:"

KeyT = TypeVar("KeyT", bound=tuple[Any, ...])
#: Hour, detector, tenant, model.
_PairKey = tuple[int, str, str, str]
_INSERT_EVENT = (
    "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
#: A duplicate changes a row only if it replaces an error.
_INSERT_VERDICT = """
INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  flagged = excluded.flagged, label = excluded.label, score = excluded.score, covered = excluded.covered,
  part = excluded.part, spans = excluded.spans
WHERE label = 'error' AND excluded.label <> 'error'
"""


class Shard(LedgerFile):
    """The file of one inference partition.

    `path` can be ``:memory:``; the other parameters are those of :class:`LedgerFile`.
    """

    def __init__(
        self, path: Path | str, *, retention_seconds: float = float("inf"), unstored: Unstored = lambda: None
    ) -> None:
        super().__init__(open_shard(path), retention_seconds=retention_seconds, unstored=unstored)
        self._health = DetectorHealth(self.database)
        self._pairs: Counter[tuple[_PairKey, str]] = Counter()
        self._requests: Counter[tuple[tuple[int, str, str], str]] = Counter()
        self._newest = 0.0
        #: Number of labels that were read since the start.
        self.judgments = 0
        #: Event time before which rows were deleted.
        self.floor = self._stored("floor")
        self._verdicts_since = self._stored(VERDICTS_SINCE)
        self._handlers = {
            RequestRecord: self._request,
            ResponseRecord: self._end,
            Verdict: self._verdict,
            ExplanationRecord: self._explanation,
            Tick: self._tick,
            Closed: self._closed,
            GapRecord: self._gap,
            Feedback: self._feedback,
            CorrectionRecord: self._correction,
            LabelRecord: self._label,
        }

    def _apply(self, records: Sequence[LogRecord]) -> int:
        before = self._newest, self._verdicts_since
        try:
            return super()._apply(records)
        except BaseException:
            self._newest, self._verdicts_since = before
            raise
        finally:
            self._pairs.clear()
            self._requests.clear()
            self._health.clear()

    # -- events

    def _request(self, record: LogRecord, event: Event, data: RequestRecord) -> None:
        if self._insert_event(record, event, data, "input", (None,) * 7) and not data.shadow_of:
            self._requests[((_hour(event.time), data.tenant, data.model), "requests")] += 1

    def _end(self, record: LogRecord, event: Event, data: ResponseRecord) -> None:
        reason = data.finish_reason
        details = (
            data.status,
            reason if not reason or SHOWN_REASON.fullmatch(reason) else "other",
            data.usage.prompt_tokens,
            data.usage.completion_tokens,
            data.latency_seconds,
            data.time_to_first_token_seconds,
            None if data.guard is None else JSON.encode(data.guard).decode(),
        )
        if data.status != ABORTED and event.time >= self.floor:
            self._delete_substitute(event.id)
        if self._insert_event(record, event, data, "output", details) and not data.shadow_of:
            self._requests[((_hour(event.time), data.tenant, data.model), "ends")] += 1

    def _delete_substitute(self, event_id: str) -> None:
        """Delete a substitute end record: it has no answer and no verdicts, and was written because its source died.

        Intake can receive the exchange again after the source died, and then writes the real end record.
        """
        query = "DELETE FROM events WHERE event_id = ? AND status = ? AND owed = '' RETURNING time, tenant, model, shadow_of"
        for time, tenant, model, shadow_of in self.database.execute(query, (event_id, ABORTED)).fetchall():
            self._requests[((_hour(time), tenant, model), "ends")] -= not shadow_of

    def _insert_event(
        self,
        record: LogRecord,
        event: Event,
        data: RequestRecord | ResponseRecord,
        side: str,
        details: tuple[Any, ...],
    ) -> bool:
        if event.time < self.floor:
            return False
        expected = tuple(dict.fromkeys(data.owed))
        kind = event.type.split(".")[2]
        row = (event.id, data.request_id, side, data.tenant, data.model, kind, *details, event.traceparent)
        row += (conversation_key(data.tenant, data.conversation_id), data.principal, data.shadow_of)
        row += (event.time, event.source, ",".join(expected), record.topic, record.partition, record.offset)
        is_new = self.database.execute(_INSERT_EVENT, row).rowcount == 1
        if is_new:
            self._newest = max(self._newest, event.time)
            self._expect(event, data, expected)
        return is_new

    def _expect(self, event: Event, data: RequestRecord | ResponseRecord, expected: tuple[str, ...]) -> None:
        """Store the expected verdicts of an event, and complete each whose verdict arrived before the event."""
        known = self._labels(event.id) if expected else {}
        source, after = awaited_tick(self.database, event.source, event.time)
        for detector in expected:
            labels = known.get(detector)
            if labels is None and event.time < self._verdicts_since:
                continue
            key = (_hour(event.time), detector, data.tenant, data.model)
            self._pairs[(key, "owed")] += 1
            if labels is not None:
                self._complete(key, event.id, data.request_id, event.time, error=labels == {ERROR_LABEL})
            else:
                row = (event.id, detector, data.request_id, data.tenant, data.model, source, event.time, after)
                self.database.execute("INSERT INTO unsettled VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _labels(self, event_id: str) -> dict[str, set[str]]:
        labels: dict[str, set[str]] = {}
        query = "SELECT detector, label FROM verdicts WHERE event_id = ?"
        for detector, label in self.database.execute(query, (event_id,)):
            labels.setdefault(detector, set()).add(label)
        return labels

    def _complete(self, key: _PairKey, event_id: str, request_id: str, time: float, *, error: bool) -> None:
        self._pairs[(key, "settled")] += 1
        detector = key[1]
        if error:
            self._pairs[(key, "errors")] += 1
            self._health.failed(event_id, detector, request_id, time)
        else:
            self._health.answered(detector, time)

    # -- verdicts

    def _verdict(self, _record: LogRecord, event: Event, data: Verdict) -> None:
        if event.time < self.floor:
            return
        before = self._labels(data.event_id).get(data.detector)
        if not self._insert_verdict(event, data):
            return
        if before is None:
            self._first_verdict(data)
        elif before == {ERROR_LABEL} and data.label != ERROR_LABEL:
            self._replace_error(data)

    def _insert_verdict(self, event: Event, data: Verdict) -> bool:
        what = (data.event_id, data.detector, data.version, data.side)
        decision = (data.flagged, data.label, data.score, data.covered, data.part, JSON.encode(data.spans).decode())
        row = (*what, *decision, event.time)
        return self.database.execute(_INSERT_VERDICT, row).rowcount == 1

    def _first_verdict(self, data: Verdict) -> None:
        pair = self.database.execute(
            "DELETE FROM unsettled WHERE event_id = ? AND detector = ? RETURNING time, detector, tenant, model",
            (data.event_id, data.detector),
        ).fetchone()
        if pair is None and (pair := self._pair(data, before=self._verdicts_since)) is not None:
            self._pairs[((_hour(pair[0]), *pair[1:]), "owed")] += 1
        if pair is not None:
            key, time = (_hour(pair[0]), *pair[1:]), pair[0]
            self._complete(key, data.event_id, data.request_id, time, error=data.label == ERROR_LABEL)

    def _replace_error(self, data: Verdict) -> None:
        pair = self._pair(data)
        if pair is not None:
            self._pairs[((_hour(pair[0]), *pair[1:]), "errors")] -= 1
            self._health.recovered(data.event_id, data.detector, pair[0])

    def _pair(self, data: Verdict, before: float = inf) -> tuple[float, str, str, str] | None:
        """Return time, detector, tenant and model of a verdict's event if the event expects it and is before `before`."""
        query = "SELECT time, ?, tenant, model, owed FROM events WHERE event_id = ? AND time < ?"
        row = self.database.execute(query, (data.detector, data.event_id, before)).fetchone()
        return row[:4] if row is not None and data.detector in row[4].split(",") else None

    def _explanation(self, _record: LogRecord, event: Event, data: ExplanationRecord) -> None:
        if event.time < self.floor:
            return
        what = (data.event_id, data.detector, data.version, data.method, data.base, data.score, data.attributed)
        row = (*what, JSON.encode(data.words[:_WORDS]).decode(), event.time)
        self.database.execute("INSERT OR IGNORE INTO explanations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    # -- sources, gaps, feedback

    def _deleted_before(self, record: LogRecord) -> None:
        self.database.execute("INSERT OR REPLACE INTO meta VALUES (?, '')", (_DELETED_FROM + record.topic,))

    def _tick(self, record: LogRecord, _event: Event, data: Tick) -> None:
        if data.stage == "score":
            if data.sources and self._was_deleted_from(record.topic):
                self._expect_no_deleted_verdict(max(data.sources.values()) + _MARGIN_SECONDS)
            for source, time in data.sources.items():
                advance_source(self.database, source, "score", time=time)
            for source in data.closed:
                advance_source(self.database, source, "score", closed=True)
        elif data.stage == "capture":
            for source, time in data.sources.items():
                self._newest = max(self._newest, time)
                capture_tick(self.database, source, time, data.spool)

    def _was_deleted_from(self, topic: str) -> bool:
        """Return whether Kafka deleted records of `topic` since the last call; the answer survives a restart."""
        return self.database.execute("DELETE FROM meta WHERE key = ?", (_DELETED_FROM + topic,)).rowcount > 0

    def _expect_no_deleted_verdict(self, since: float) -> None:
        """Expect no absent verdict on the events before `since`: Kafka deleted verdicts that score published before a tick."""
        since = max(self._verdicts_since, min(since, clock.time()))  # the clock of a source can be wrong by years
        self._verdicts_since = since
        query = "DELETE FROM unsettled WHERE time < ? RETURNING time, detector, tenant, model"
        for time, *names in self.database.execute(query, (since,)).fetchall():
            self._pairs[((_hour(time), *names), "owed")] -= 1
        self.database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (VERDICTS_SINCE, repr(since)))

    def _closed(self, _record: LogRecord, _event: Event, data: Closed) -> None:
        advance_source(self.database, data.source, "capture", time=data.time, closed=True)

    def _gap(self, _record: LogRecord, event: Event, data: GapRecord) -> None:
        """Store a gap record with the newest tick time of its partition, which never decreases."""
        newest = self.database.execute("SELECT max(capture_time) FROM sources").fetchone()[0]
        logged = event.time if newest is None else newest
        row = (event.id, data.source, data.first_number, data.last_number, data.count, data.reason, event.time, logged)
        self.database.execute("INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        links = [(request_id, event.id) for request_id in data.request_ids]
        self.database.executemany("INSERT OR IGNORE INTO gap_requests VALUES (?, ?)", links)

    def _feedback(self, _record: LogRecord, event: Event, data: Feedback) -> None:
        what = (event.id, data.request_id, data.alert_id, data.label, data.rating, data.tenant, data.principal)
        self.database.execute("INSERT OR IGNORE INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*what, event.time))

    def _correction(self, record: LogRecord, event: Event, data: CorrectionRecord) -> None:
        written = (bool(data.answer), bool(data.comment), data.approved)
        what = (event.id, data.request_id, *written, data.tenant, data.principal)
        row = (*what, event.time, record.topic, record.partition, record.offset)
        self.database.execute("INSERT OR IGNORE INTO corrections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _label(self, _record: LogRecord, event: Event, data: LabelRecord) -> None:
        """Store a label; of labels with the same id, the latest judgment counts, so their order has no effect."""
        self.judgments += 1
        row = (data.tenant, data.label_id, data.request_id, data.value, data.at, event.time)
        self.database.execute(
            "INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET request_id = excluded.request_id,"
            " value = excluded.value, at = excluded.at, time = excluded.time"
            " WHERE (excluded.at, excluded.value, excluded.request_id) > (at, value, request_id)",
            row,
        )

    def newest_event(self, topic: str) -> tuple[str, int] | None:
        """Return the id and the offset of the event of `topic` with the latest time, or None without an event."""
        query = "SELECT event_id, offset FROM events WHERE topic = ? ORDER BY time DESC LIMIT 1"
        row = self.database.execute(query, (topic,)).fetchone()
        return None if row is None else (str(row[0]), int(row[1]))

    # -- counts and retention

    def _flush(self) -> None:
        self.database.executemany(
            "INSERT INTO pairs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET"
            " owed = owed + ?5, settled = settled + ?6, errors = errors + ?7",
            _rows(self._pairs, ("owed", "settled", "errors")),
        )
        self.database.executemany(
            "INSERT INTO requests VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET"
            " requests = requests + ?4, ends = ends + ?5",
            _rows(self._requests, ("requests", "ends")),
        )
        self._health.flush()

    def _stored(self, key: str) -> float:
        row = self.database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return float(row[0]) if row else 0.0

    def expire(self) -> bool:
        """Delete the oldest minute of the hours that are past the retention; return False if no hour is.

        The reason: a deletion blocks the thread, and an hour of a busy stack has millions of rows. The counts of an hour and the
        rows of small tables are deleted with its last minute.
        """
        newest = min(self._newest, clock.time())  # the clock of a source can be wrong by years
        last = (_hour(newest - self._retention_seconds) * HOUR_SECONDS) if self._newest else 0.0
        if last <= self.floor:
            return False
        oldest = self.database.execute("SELECT min(hour) FROM requests").fetchone()[0]
        floor = last if oldest is None else min(last, max(self.floor, oldest * HOUR_SECONDS) + _EXPIRED_SECONDS)
        with transaction(self.database) as database:
            for table in ("events", "verdicts", "explanations"):
                database.execute(f"DELETE FROM {table} WHERE time < ?", (floor,))  # noqa: S608 - constants
            if floor % HOUR_SECONDS == 0:
                self._expire_hour(floor)
            database.execute("INSERT OR REPLACE INTO meta VALUES ('floor', ?)", (repr(floor),))
        self.floor = floor
        return True

    def _expire_hour(self, floor: float) -> None:
        for table in ("unsettled", "failed", "gaps", "corrections", "labels"):
            self.database.execute(f"DELETE FROM {table} WHERE time < ?", (floor,))  # noqa: S608 - constants
        # Alerts do not expire, so their reviews do not either.
        self.database.execute(f"DELETE FROM feedback WHERE time < ? AND NOT ({IS_REVIEW})", (floor,))  # noqa: S608 - constants
        self.database.execute(
            "DELETE FROM feedback WHERE event_id IN (SELECT event_id FROM (SELECT event_id, row_number()"  # noqa: S608 - constants
            f" OVER (PARTITION BY tenant ORDER BY time DESC, event_id) AS number FROM feedback WHERE {IS_REVIEW}) WHERE number > ?)",
            (_REVIEWS,),
        )
        for table in ("pairs", "requests"):
            self.database.execute(f"DELETE FROM {table} WHERE hour < ?", (_hour(floor),))  # noqa: S608 - constants
        self.database.execute("DELETE FROM gap_requests WHERE event_id NOT IN (SELECT event_id FROM gaps)")
        self.database.execute("DELETE FROM sources WHERE ifnull(capture_time, score_time) < ?", (floor,))


def _rows(counted: Mapping[tuple[KeyT, str], int], columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return a row for each key: the key, and its numbers in the order of `columns`."""
    rows: dict[KeyT, dict[str, int]] = {}
    for (key, column), number in counted.items():
        rows.setdefault(key, dict.fromkeys(columns, 0))[column] = number
    return [(*key, *numbers.values()) for key, numbers in rows.items()]


def _hour(time: float) -> int:
    return int(max(time, 0.0) // HOUR_SECONDS)
