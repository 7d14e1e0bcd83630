"""What comes of findings: alerts, their silences, retraining decisions, and what people say of them."""

from typing import ClassVar

import msgspec

from stream.wire.events.base import Count, EventData, Seconds

__all__ = ["AlertRecord", "Feedback", "LogRange", "RetrainingRecord", "SilenceRecord"]


class LogRange(EventData, frozen=True, kw_only=True):
    """Offsets of `topic` that a decision rests on, by partition: first inclusive, last exclusive."""

    topic: str
    first: dict[str, Count] = msgspec.field(name="from", default_factory=dict)
    last: dict[str, Count] = msgspec.field(name="to", default_factory=dict)


class AlertRecord(EventData, frozen=True, kw_only=True):
    """The state of one alert. Published again when its state, severity or evidence changes; the key is `alert_id`.

    `runbook` says in one sentence what to do now (stream/runbook.py). `sentinels` of an alert of drift says whether the answers to
    Weir's fixed prompts changed too: ``moved``, ``still``, or "" where nothing is known of them.
    """

    event_type: ClassVar[str] = "weir.alert.v1"

    alert_id: str
    state: str
    detector: str
    severity: str
    tenant: str
    model: str
    side: str
    opened_at: Seconds
    at: Seconds
    resolved_at: Seconds | None = None
    summary: str = ""
    evidence: tuple[str, ...] = ()
    evidence_total: Count = 0
    trace_id: str = ""
    causation_ids: tuple[str, ...] = ()
    revision: Count = 0
    windows: Count = 0
    events: Count = 0
    principals: dict[str, Count] = {}
    score: float = 0.0
    statistic: float = 0.0
    limit: float = 0.0
    feature: str = ""
    runbook: str = ""
    sentinels: str = ""


class SilenceRecord(EventData, frozen=True, kw_only=True):
    """An operator's word that what fires of one thing (stream, detector, feature) is not to be told from `at` until `until`.

    The key is `silence_id`: a later record replaces this one, and one whose `until` is its `at` ends it. It was made from
    alert `alert_id`, by `by` on their machine, for `reason`. Not to be confused with detector ``silence``, a source that fell silent.
    """

    event_type: ClassVar[str] = "weir.silence.v1"

    silence_id: str
    alert_id: str
    tenant: str
    model: str
    side: str
    detector: str
    at: Seconds
    until: Seconds
    feature: str = ""
    reason: str = ""
    by: str = ""


class RetrainingRecord(EventData, frozen=True, kw_only=True):
    """A retraining decision: requested, suppressed (with the reason), started, completed, promoted, rolled_back."""

    event_type: ClassVar[str] = "weir.retraining.v1"

    retraining_id: str
    state: str
    reason: str
    tenant: str
    model: str
    at: Seconds
    alert_ids: tuple[str, ...] = ()
    data: LogRange | None = None
    gates: dict[str, bool] = {}


class Feedback(EventData, frozen=True, kw_only=True):
    """A user's or reviewer's judgement of a request or an alert."""

    event_type: ClassVar[str] = "weir.feedback.v1"

    request_id: str
    tenant: str
    principal: str = ""
    rating: str = ""
    label: str = ""
    detector: str = ""
    alert_id: str = ""
    number: Count = 0
