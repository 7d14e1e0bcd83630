"""One request's story: its events, its verdicts, the alerts it was part of, the retraining events they led to."""

import sqlite3
from typing import Any

import msgspec

from stream.wire import AlertRecord, RetrainingRecord, Span, TraceParent, Usage, Verdict, WordWeight

__all__ = [
    "ExplanationNote",
    "GapNote",
    "RecordLocation",
    "RequestEvents",
    "RequestStory",
    "gap_of",
    "led_to",
    "request_events",
    "told",
]

_ALERT = msgspec.json.Decoder(AlertRecord)
_RETRAINING = msgspec.json.Decoder(RetrainingRecord)
_SPANS = msgspec.json.Decoder(tuple[Span, ...])
_WORDS = msgspec.json.Decoder(tuple[WordWeight, ...])


class RecordLocation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event stands in the log: the only way to its text."""

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
    """How the request ended."""

    status: str
    finish_reason: str | None
    usage: Usage
    latency_seconds: float
    time_to_first_token_seconds: float | None


class ExplanationNote(msgspec.Struct, frozen=True, kw_only=True):
    """Which words a verdict rests on: of `attributed`, those with the largest weights (log-odds), in the text's order.

    `base` and `score` are the scores of none and of all of the attributed words.
    """

    method: str
    base: float
    score: float
    attributed: int
    words: tuple[WordWeight, ...]


class VerdictNote(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, the time of the event that it is about, and, where score had the time, which words it rests on."""

    event_id: str
    time: float
    verdict: Verdict
    explanation: ExplanationNote | None = None


class GapNote(msgspec.Struct, frozen=True, kw_only=True):
    """The gap record that counts a request which could not be delivered."""

    source: str
    first_number: int
    last_number: int
    reason: str
    time: float


class RequestEvents(msgspec.Struct, frozen=True, kw_only=True):
    """What one partition knows of a request."""

    tenant: str
    model: str
    locations: tuple[RecordLocation, ...]
    end: EndNote | None
    verdicts: tuple[VerdictNote, ...]


class RequestStory(msgspec.Struct, frozen=True, kw_only=True):
    """All that the ledger knows of a request; `gap` alone is set where it was counted instead of delivered."""

    request_id: str
    events: RequestEvents | None = None
    alerts: tuple[AlertRecord, ...] = ()
    retraining: tuple[RetrainingRecord, ...] = ()
    gap: GapNote | None = None

    @property
    def trace_id(self) -> str:
        """The trace of the request, or ""."""
        for location in self.events.locations if self.events else ():
            if parsed := TraceParent.parse(location.traceparent):
                return parsed.trace_id
        return ""


def request_events(database: sqlite3.Connection, request_id: str) -> RequestEvents | None:
    """Return what a shard knows of `request_id`, or None."""
    rows = database.execute(
        "SELECT event_id, side, type, time, topic, partition, offset, owed, traceparent, tenant, model, status,"
        " finish_reason, prompt_tokens, completion_tokens, latency_seconds, time_to_first_token_seconds"
        " FROM events WHERE event_id > ? || '/' AND event_id < ? || '0' ORDER BY time, event_id",
        (request_id, request_id),
    ).fetchall()
    if not rows:
        return None
    locations = tuple(_location(row) for row in rows)
    ends = [row for row in rows if row[11] is not None]
    times = {location.event_id: location.time for location in locations}
    tenant, model = rows[0][9], rows[0][10]
    return RequestEvents(
        tenant=tenant,
        model=model,
        locations=locations,
        end=_end(ends[-1]) if ends else None,
        verdicts=_verdicts(database, request_id, times, (tenant, model)),
    )


def _location(row: tuple[Any, ...]) -> RecordLocation:
    event_id, side, kind, time, topic, partition, offset, owed, traceparent, *_ = row
    return RecordLocation(
        event_id=event_id,
        side=side,
        type=kind,
        time=time,
        topic=topic,
        partition=partition,
        offset=offset,
        owed=tuple(owed.split(",")) if owed else (),
        traceparent=traceparent,
    )


def _end(row: tuple[Any, ...]) -> EndNote:
    status, finish_reason, prompt_tokens, completion_tokens, latency, first_token = row[11:]
    return EndNote(
        status=status,
        finish_reason=finish_reason,
        usage=Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens),
        latency_seconds=latency,
        time_to_first_token_seconds=first_token,
    )


def _verdicts(
    database: sqlite3.Connection, request_id: str, times: dict[str, float], whose: tuple[str, str]
) -> tuple[VerdictNote, ...]:
    rows = database.execute(
        "SELECT event_id, detector, version, side, flagged, label, score, covered, spans, time FROM verdicts"
        " WHERE event_id > ? || '/' AND event_id < ? || '0' ORDER BY side, detector, version",
        (request_id, request_id),
    )
    explanations = _explanations(database, request_id)
    return tuple(
        VerdictNote(
            event_id=event_id,
            time=times.get(event_id, time),
            explanation=explanations.get((event_id, detector, version)),
            verdict=Verdict(
                request_id=request_id,
                event_id=event_id,
                tenant=whose[0],
                model=whose[1],
                side=side,
                detector=detector,
                version=version,
                flagged=bool(flagged),
                label=label,
                score=score,
                covered=covered,
                spans=_SPANS.decode(spans),
            ),
        )
        for event_id, detector, version, side, flagged, label, score, covered, spans, time in rows
    )


def _explanations(database: sqlite3.Connection, request_id: str) -> dict[tuple[str, str, str], ExplanationNote]:
    """Return the explanation of each verdict, by event, detector and version."""
    rows = database.execute(
        "SELECT event_id, detector, version, method, base, score, attributed, words FROM explanations"
        " WHERE event_id > ? || '/' AND event_id < ? || '0' ORDER BY method",
        (request_id, request_id),
    )
    return {
        (event_id, detector, version): ExplanationNote(
            method=method, base=base, score=score, attributed=attributed, words=_WORDS.decode(words)
        )
        for event_id, detector, version, method, base, score, attributed, words in rows
    }


def gap_of(database: sqlite3.Connection, request_id: str) -> GapNote | None:
    """Return the gap record that names `request_id`, or None."""
    row = database.execute(
        "SELECT g.source, g.first_number, g.last_number, g.reason, g.time FROM gap_requests r"
        " JOIN gaps g ON g.event_id = r.event_id WHERE r.request_id = ? ORDER BY g.time LIMIT 1",
        (request_id,),
    ).fetchone()
    if row is None:
        return None
    source, first, last, reason, time = row
    return GapNote(source=source, first_number=first, last_number=last, reason=reason, time=time)


def told(request_id: str, events: RequestEvents, decisions: sqlite3.Connection) -> RequestStory:
    """Join a request's events with the alerts that it was part of and the retraining events that they led to.

    An alert is named where its evidence holds the request, and where it was firing for the stream and detector of a flagged
    verdict of the request's, at the time of the event: evidence holds 20 ids at most.
    """
    rows = decisions.execute(
        "SELECT a.record FROM alert_evidence e JOIN alerts a ON a.alert_id = e.alert_id WHERE e.request_id = ?",
        (request_id,),
    ).fetchall()
    for note in events.verdicts:
        if note.verdict.flagged:
            rows += decisions.execute(
                "SELECT record FROM alerts WHERE tenant = ? AND model = ? AND side = ? AND detector = ?"
                " AND opened_at <= ? AND (resolved_at IS NULL OR resolved_at >= ?)",
                (events.tenant, events.model, note.verdict.side, note.verdict.detector, note.time, note.time),
            ).fetchall()
    alerts = {alert.alert_id: alert for alert in (_ALERT.decode(row[0]) for row in rows)}
    ordered = tuple(sorted(alerts.values(), key=lambda alert: (alert.opened_at, alert.alert_id)))
    return RequestStory(
        request_id=request_id, events=events, alerts=ordered, retraining=tuple(led_to(decisions, list(alerts)))
    )


def led_to(decisions: sqlite3.Connection, alert_ids: list[str]) -> list[RetrainingRecord]:
    """Return the retraining events that alerts led to, oldest first."""
    found: dict[tuple[str, str], RetrainingRecord] = {}
    for alert_id in alert_ids:
        rows = decisions.execute(
            "SELECT r.record FROM retraining_alerts l JOIN retraining r ON r.retraining_id = l.retraining_id"
            " WHERE l.alert_id = ?",
            (alert_id,),
        )
        for (record,) in rows:
            decoded = _RETRAINING.decode(record)
            found[decoded.retraining_id, decoded.state] = decoded
    return sorted(found.values(), key=lambda record: (record.at, record.retraining_id))
