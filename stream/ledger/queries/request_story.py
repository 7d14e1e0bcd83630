"""The query for one request: its events, verdicts and alerts, and the retraining events of these alerts."""

import sqlite3

import msgspec

from stream.ledger.queries.judgments import Judgments
from stream.ledger.schema import ALERT, RETRAINING, named_rows, select
from stream.wire import AlertRecord, GuardStop, RetrainingRecord, Span, TraceParent, Usage, Verdict, WordWeight
from stream.wire.ids import consistency_request_id

_GUARD = msgspec.json.Decoder(GuardStop)
_SPANS = msgspec.json.Decoder(tuple[Span, ...])
_WORDS = msgspec.json.Decoder(tuple[WordWeight, ...])
# An event id starts with its request id and "/": a range of primary keys.
_OF_REQUEST = "WHERE event_id > ?1 || '/' AND event_id < ?1 || '0'"


class RecordLocation(msgspec.Struct, frozen=True, kw_only=True):
    """The position of an event in the log; the text of the event can be read only there."""

    event_id: str
    side: str
    type: str
    time: float
    topic: str
    partition: int
    offset: int
    owed: tuple[str, ...] = ()
    traceparent: str = ""


class EndNote(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a request: status, numbers of tokens, times, and the guard's finding."""

    status: str
    finish_reason: str | None
    usage: Usage
    latency_seconds: float
    time_to_first_token_seconds: float | None
    guard: GuardStop | None = None


class ExplanationNote(msgspec.Struct, frozen=True, kw_only=True):
    """The words that a verdict depends on most, with their weights (log-odds), in the order of the text.

    `attributed` is the number of words whose weights were computed. `score` is the score of the text, `base` the score
    of the text without these words.
    """

    method: str
    base: float
    score: float
    attributed: int
    words: tuple[WordWeight, ...]


class VerdictNote(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, the time of its event, and its explanation if there is one."""

    event_id: str
    time: float
    verdict: Verdict
    explanation: ExplanationNote | None = None


class GapNote(msgspec.Struct, frozen=True, kw_only=True):
    """The gap record of a request that could not be delivered.

    `time` is that of the gap record, which can be hours after the request: a full spool writes it when it has space again.
    """

    source: str
    first_number: int
    last_number: int
    reason: str
    time: float


class RequestEvents(msgspec.Struct, frozen=True, kw_only=True):
    """The events and verdicts of a request in its partition.

    `shadow_of` is the id of the user's request if Weir sent this request as a copy of it, else "".
    """

    tenant: str
    model: str
    locations: tuple[RecordLocation, ...]
    end: EndNote | None
    verdicts: tuple[VerdictNote, ...]
    shadow_of: str = ""


class RequestStory(msgspec.Struct, frozen=True, kw_only=True):
    """A request with all related data; if the request was lost, only `gap` is set.

    `consistency` is the verdict on the copy of the request whose answers were compared with the user's answer.
    """

    request_id: str
    events: RequestEvents | None = None
    alerts: tuple[AlertRecord, ...] = ()
    retraining: tuple[RetrainingRecord, ...] = ()
    gap: GapNote | None = None
    judgments: Judgments = Judgments()
    consistency: Verdict | None = None

    @property
    def at(self) -> float:
        """Event time of the request's first event, in seconds since the epoch; 0 if the request was lost."""
        return self.events.locations[0].time if self.events else 0.0

    @property
    def trace_id(self) -> str:
        """The trace id of the request, or "" if it is unknown."""
        for location in self.events.locations if self.events else ():
            if parsed := TraceParent.parse(location.traceparent):
                return parsed.trace_id
        return ""


def _location(row: sqlite3.Row) -> RecordLocation:
    fields = {name: row[name] for name in RecordLocation.__struct_fields__}
    return RecordLocation(**fields | {"owed": tuple(row["owed"].split(",")) if row["owed"] else ()})


def request_events(database: sqlite3.Connection, request_id: str) -> RequestEvents | None:
    """Return the events and verdicts of a request in one partition, or None if the partition lacks the request."""
    query = f"SELECT * FROM events {_OF_REQUEST} ORDER BY time, event_id"  # noqa: S608 - constants
    rows = named_rows(database, query, (request_id,))
    if not rows:
        return None
    locations = tuple(map(_location, rows))
    ends = [row for row in rows if row["status"] is not None]
    owner = {"tenant": rows[0]["tenant"], "model": rows[0]["model"]}
    return RequestEvents(
        locations=locations,
        end=_end(ends[-1]) if ends else None,
        verdicts=_verdicts(database, request_id, locations, owner),
        shadow_of=rows[0]["shadow_of"],
        **owner,
    )


def _end(row: sqlite3.Row) -> EndNote:
    return EndNote(
        status=row["status"],
        finish_reason=row["finish_reason"],
        usage=Usage(prompt_tokens=row["prompt_tokens"], completion_tokens=row["completion_tokens"]),
        latency_seconds=row["latency_seconds"],
        time_to_first_token_seconds=row["time_to_first_token_seconds"],
        guard=None if row["guard"] is None else _GUARD.decode(row["guard"]),
    )


def _verdicts(
    database: sqlite3.Connection, request_id: str, locations: tuple[RecordLocation, ...], owner: dict[str, str]
) -> tuple[VerdictNote, ...]:
    times = {location.event_id: location.time for location in locations}
    explanations = _explanations(database, request_id)
    rows = named_rows(
        database,
        "SELECT event_id, detector, version, side, flagged, label, score, covered, part, spans, time"  # noqa: S608 - constants
        f" FROM verdicts {_OF_REQUEST} ORDER BY side, detector, version",
        (request_id,),
    )
    return tuple(
        VerdictNote(
            event_id=row["event_id"],
            time=times.get(row["event_id"], row["time"]),
            verdict=_verdict(row, request_id, owner),
            explanation=explanations.get((row["event_id"], row["detector"], row["version"])),
        )
        for row in rows
    )


def _verdict(row: sqlite3.Row, request_id: str, owner: dict[str, str]) -> Verdict:
    columns = ("event_id", "side", "detector", "version", "label", "score", "covered", "part")
    return Verdict(
        request_id=request_id,
        flagged=bool(row["flagged"]),
        spans=_SPANS.decode(row["spans"]),
        tenant=owner["tenant"],
        model=owner["model"],
        **{name: row[name] for name in columns},
    )


def _explanations(database: sqlite3.Connection, request_id: str) -> dict[tuple[str, str, str], ExplanationNote]:
    """Return {(event id, detector, version): explanation}."""
    rows = database.execute(
        "SELECT event_id, detector, version, method, base, score, attributed, words FROM explanations"  # noqa: S608 - constants
        f" {_OF_REQUEST} ORDER BY method",
        (request_id,),
    )
    return {
        (event_id, detector, version): ExplanationNote(
            method=method, base=base, score=score, attributed=attributed, words=_WORDS.decode(words)
        )
        for event_id, detector, version, method, base, score, attributed, words in rows
    }


def consistency_of(database: sqlite3.Connection, request_id: str) -> Verdict | None:
    """Return the verdict of the detector `consistency` on the copy of a request, or None if the partition lacks it."""
    copy = request_events(database, consistency_request_id(request_id))
    return next((one.verdict for one in copy.verdicts if one.verdict.detector == "consistency"), None) if copy else None


def gap_of(database: sqlite3.Connection, request_id: str) -> GapNote | None:
    """Return the gap record that names `request_id`, or None."""
    query = (
        "SELECT g.source, g.first_number, g.last_number, g.reason, g.time FROM gap_requests r"
        " JOIN gaps g ON g.event_id = r.event_id WHERE r.request_id = ? ORDER BY g.time LIMIT 1"
    )
    return next(iter(select(database, GapNote, query, (request_id,))), None)


def request_story(request_id: str, events: RequestEvents, decisions: sqlite3.Connection) -> RequestStory:
    """Join a request's events with its alerts and their retraining events.

    An alert belongs to a request if the evidence of the alert contains the request. Evidence is limited to 20 requests,
    and an alert is published again at most every few seconds. Therefore an alert with incomplete evidence also belongs
    to a request if three conditions are true for an event of the request. The alert's detector flagged the event, the
    event is in the alert's stream, and the alert was firing at the time of the event. If the evidence is complete, only
    the evidence decides, because a finding below the tenant's threshold for alerts is flagged too. A copy that Weir sent has no findings.
    """
    rows = decisions.execute(
        "SELECT a.record FROM alert_evidence e JOIN alerts a ON a.alert_id = e.alert_id WHERE e.request_id = ?",
        (request_id,),
    ).fetchall()
    for note in () if events.shadow_of else events.verdicts:
        if note.verdict.flagged:
            rows += decisions.execute(
                "SELECT record FROM alerts WHERE tenant = ?1 AND model = ?2 AND side = ?3 AND detector = ?4"
                " AND opened_at <= ?5 AND (resolved_at IS NULL OR resolved_at >= ?5)"
                " AND (at < ?5 OR json_extract(record, '$.evidence_total') > ifnull(json_array_length(record, '$.evidence'), 0))",
                (events.tenant, events.model, note.verdict.side, note.verdict.detector, note.time),
            ).fetchall()
    alerts = {alert.alert_id: alert for alert in (ALERT.decode(row[0]) for row in rows)}
    ordered = tuple(sorted(alerts.values(), key=lambda alert: (alert.opened_at, alert.alert_id)))
    retraining = tuple(retraining_of(decisions, list(alerts)))
    return RequestStory(request_id=request_id, events=events, alerts=ordered, retraining=retraining)


def retraining_of(decisions: sqlite3.Connection, alert_ids: list[str]) -> list[RetrainingRecord]:
    """Return the retraining events that these alerts caused, oldest first."""
    records: dict[tuple[str, str], RetrainingRecord] = {}
    for alert_id in alert_ids:
        rows = decisions.execute(
            "SELECT r.record FROM retraining_alerts l JOIN retraining r ON r.retraining_id = l.retraining_id"
            " WHERE l.alert_id = ?",
            (alert_id,),
        )
        for (encoded,) in rows:
            record = RETRAINING.decode(encoded)
            records[record.retraining_id, record.state] = record
    return sorted(records.values(), key=lambda record: (record.at, record.retraining_id))
