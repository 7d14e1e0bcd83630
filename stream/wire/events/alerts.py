"""Alerts, silences, retraining decisions and feedback."""

from typing import Annotated, ClassVar

import msgspec

from stream.wire.events.base import AnySide, Count, EventData, Seconds

_RETRAINING_STATES = [
    *("requested", "suppressed", "approved", "rejected", "dataset", "started", "progress", "trained", "completed"),
    *("blessed", "refused", "shadow", "canary", "promoted", "rolled_back", "failed", "expired"),
]


class LogRange(EventData, frozen=True, kw_only=True, omit_defaults=False):
    """The offsets of `topic` on which a decision is based, by partition: `first` inclusive, `last` exclusive."""

    topic: str
    first: dict[str, Count] = msgspec.field(name="from", default_factory=dict)
    last: dict[str, Count] = msgspec.field(name="to", default_factory=dict)


class AlertRecord(EventData, frozen=True, kw_only=True):
    """The state of one alert, published again when its state, severity or evidence changes; the key is `alert_id`.

    Of the records of an alert, the one with the highest `revision` is its state; ignore a record with a lower `revision` that arrives later. `evidence`
    are the ids of at most 20 of the `evidence_total` requests, `causation_ids` those of at most 20 findings. `windows` and `events` count the time
    windows and events of the findings, and `principals` the events of at most 32 API keys. `score` is the highest score of findings about single
    events, or the latest of findings about time windows. `statistic` and `limit` are those of the latest finding's test, 0 if it has none.
    `runbook` is the first step for an operator, in one sentence. In a drift alert, `sentinels` states whether the
    answers to Weir's fixed prompts changed too: ``moved`` (yes), ``still`` (no), or "" if the result is unknown. `part`
    is the part group of the stream (``prompt``, ``tool_result`` or ``answer``) if the tenant has ``drift_by_part``.
    `model_version` is the version of the stream's events if Weir trained this version, else "". `feature` is that of the
    newest finding, `features` are the first 20 features of its alarms about time windows. An alert with a further
    feature is published at once.
    """

    event_type: ClassVar[str] = "weir.alert.v1"

    alert_id: str
    state: Annotated[str, msgspec.Meta(examples=["firing", "resolved"])]
    detector: str
    severity: Annotated[str, msgspec.Meta(examples=["info", "warning", "critical"])]
    tenant: str
    model: str
    side: AnySide
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
    sentinels: Annotated[str, msgspec.Meta(examples=["", "moved", "still"])] = ""
    part: str = ""
    model_version: str = ""
    features: tuple[str, ...] = ()


class SilenceRecord(EventData, frozen=True, kw_only=True):
    """An operator's silence: no notifications about one subject (stream, detector, feature) from `at` until `until`.

    The key is `silence_id`: a later record with the same id replaces this one, and a record whose `until` equals its
    `at` ends the silence. Operator `by` created the silence from alert `alert_id`, for `reason`. The detector
    ``silence`` is unrelated: it finds inactive sources.
    """

    event_type: ClassVar[str] = "weir.silence.v1"

    silence_id: str
    alert_id: str
    tenant: str
    model: str
    side: AnySide
    detector: str
    at: Seconds
    until: Seconds
    feature: str = ""
    reason: str = ""
    by: str = ""
    part: str = ""
    model_version: str = ""


class RetrainingRecord(EventData, frozen=True, kw_only=True):
    """A state of one retraining request.

    Weir publishes requested or suppressed (with the reason); a person publishes approved or rejected. The next states
    are dataset, started, progress, trained, blessed or refused, shadow, canary, promoted or rolled_back. An external
    trainer may publish started and completed instead. rejected, refused, failed, expired, promoted and rolled_back end
    a request.

    `data` is the range of ``weir.inference`` on which the request is based, and `pins` are the ranges of the other
    topics. `versions` is {name: version} of the configuration and code that also decide the dataset. A process that
    works on the request owns it for `epoch` until `lease_until`, so that another process can continue if the owner
    died. `numbers` are the measurements behind the state, for example steps and loss, or the bounds of a gate. `by` is
    the person or process that decided. `detectors` are the detectors of the request's alerts; they compare the new
    version with the present version.
    """

    event_type: ClassVar[str] = "weir.retraining.v1"

    retraining_id: str
    state: Annotated[str, msgspec.Meta(examples=_RETRAINING_STATES)]
    reason: str
    tenant: str
    model: str
    at: Seconds
    alert_ids: tuple[str, ...] = ()
    data: LogRange | None = None
    gates: dict[str, bool] = {}
    pins: tuple[LogRange, ...] = ()
    versions: dict[str, str] = {}
    epoch: Count = 0
    lease_until: Seconds | None = None
    dataset_digest: str = ""
    model_version: str = ""
    numbers: dict[str, float] = {}
    by: str = ""
    detectors: tuple[str, ...] = ()


class Feedback(EventData, frozen=True, kw_only=True):
    """Feedback of a user or reviewer about a request or an alert.

    `rating` is ``up``, ``down`` or a number, and `label` a reviewer's verdict on a detector's finding. A comment and a
    better answer are content, so they are in a :class:`~stream.wire.CorrectionRecord` on ``weir.inference``.
    """

    event_type: ClassVar[str] = "weir.feedback.v1"

    request_id: str
    tenant: str
    principal: str = ""
    rating: str = ""
    label: str = ""
    detector: str = ""
    alert_id: str = ""
    number: Count = 0


class LabelRecord(EventData, frozen=True, kw_only=True):
    """A delayed judgment of an answer: `value` is in [0, 1], 1 for a correct answer; `at` is the time of the judgment.

    `label_id` identifies the judgment: a later record with the same id replaces this one. `source` names the system
    that made the judgment.
    """

    event_type: ClassVar[str] = "weir.label.v1"

    label_id: str
    request_id: str
    tenant: str
    at: Seconds
    value: Annotated[float, msgspec.Meta(ge=0, le=1)]
    source: str = ""
    principal: str = ""
    number: Count = 0
