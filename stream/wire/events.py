"""The data of every event on Weir's topics.

Structs are frozen and additive only: a new field takes a default, unknown fields are ignored, and golden bytes of every
past version decode for ever (tests/contract/wire). Times are seconds since the epoch, UTC, as float; text stands in
`RequestRecord` and `ResponseRecord` alone.
"""

from typing import ClassVar

import msgspec

__all__ = [
    "ABORTED_TYPE",
    "EVENT_TYPES",
    "AlertRecord",
    "Closed",
    "ErrorInfo",
    "EventData",
    "ExplanationRecord",
    "Feedback",
    "FindingRecord",
    "GapRecord",
    "LogRange",
    "Message",
    "RequestRecord",
    "ResponseRecord",
    "RetrainingRecord",
    "SentinelRecord",
    "Signal",
    "SilenceRecord",
    "Span",
    "Tick",
    "Usage",
    "Verdict",
    "WordWeight",
]


class EventData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every event's data."""

    event_type: ClassVar[str]


class Message(EventData, frozen=True, kw_only=True):
    """One message of a conversation, as the model was given it."""

    role: str
    content: str


class Usage(EventData, frozen=True, kw_only=True):
    """Tokens, counted by the engine."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class ErrorInfo(EventData, frozen=True, kw_only=True):
    """Why a request ended without success: a class and a status, never text of the request."""

    kind: str
    status: int = 500


class RequestRecord(EventData, frozen=True, kw_only=True):
    """A request that was accepted; written before inference began."""

    event_type: ClassVar[str] = "weir.inference.request.v1"

    request_id: str
    tenant: str
    model: str
    model_version: str = ""
    principal: str = ""
    conversation_id: str = ""
    operation: str = "chat"
    stream: bool = False
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    parameters: dict[str, float | int | str | list[str] | None] = {}
    owed: tuple[str, ...] = ()
    number: int = 0

    def text(self) -> str:
        """Return what the model was given, as input detectors see it; spans are offsets into this string."""
        if self.messages:
            return "\n".join(message.content for message in self.messages)
        return self.prompt


class ResponseRecord(EventData, frozen=True, kw_only=True):
    """How an accepted request ended; `status` is ``complete``, ``error``, ``cancelled`` or ``aborted``.

    `context` is the end of the prompt, where detectors compare the answer with it (``[detectors] context_characters``): a record is
    scored alone, since its request may have been read by another worker long ago.
    """

    event_type: ClassVar[str] = "weir.inference.response.v1"

    request_id: str
    tenant: str
    model: str
    status: str
    model_version: str = ""
    principal: str = ""
    conversation_id: str = ""
    operation: str = "chat"
    stream: bool = False
    text: str = ""
    context: tuple[Message, ...] = ()
    finish_reason: str | None = None
    usage: Usage = Usage()
    latency_seconds: float = 0.0
    time_to_first_token_seconds: float | None = None
    error: ErrorInfo | None = None
    owed: tuple[str, ...] = ()
    number: int = 0


class GapRecord(EventData, frozen=True, kw_only=True):
    """Records that were accepted but cannot be delivered: counted, with their range, never silent."""

    event_type: ClassVar[str] = "weir.capture.gap.v1"

    source: str
    first_number: int
    last_number: int
    count: int
    reason: str
    request_ids: tuple[str, ...] = ()


class Tick(EventData, frozen=True, kw_only=True):
    """Progress: everything older than the times it carries has been published by `stage` to this partition before it.

    ``capture``: `sources` is {its own source: T}, "nothing older than T will come from this source", and `spool` how much of its
    spool's bound is taken, reserved room included, in [0, 1]. ``score`` forwards what it read from inference partition `partition` since the last one, with the sources that `closed`. ``watch`` forwards its
    `watermark` from signals partition `partition` to the same partition of findings.
    """

    event_type: ClassVar[str] = "weir.tick.v1"

    stage: str = "capture"
    partition: int = -1
    sources: dict[str, float] = {}
    closed: tuple[str, ...] = ()
    watermark: float | None = None
    spool: float = 0.0


class Closed(EventData, frozen=True, kw_only=True):
    """`source` has ended: nothing more will come from it."""

    event_type: ClassVar[str] = "weir.closed.v1"

    source: str
    time: float


class Span(EventData, frozen=True, kw_only=True):
    """Where something was found: character offsets into the raw text, end exclusive; never the text itself."""

    start: int
    end: int
    type: str
    score: float = 1.0


class Verdict(EventData, frozen=True, kw_only=True):
    """What one detector says of one event."""

    event_type: ClassVar[str] = "weir.verdict.v1"

    request_id: str
    event_id: str
    tenant: str
    model: str
    side: str
    detector: str
    version: str
    flagged: bool
    label: str
    score: float
    covered: float = 1.0
    spans: tuple[Span, ...] = ()


class WordWeight(EventData, frozen=True, kw_only=True):
    """What one word did to a score: character offsets into the raw text, end exclusive, and log-odds; never the word itself."""

    start: int
    end: int
    weight: float


class ExplanationRecord(EventData, frozen=True, kw_only=True):
    """Which words a flagged verdict rests on, computed after it and told beside it; alerts never depend on it.

    Of `attributed` words, `words` holds those with the largest weights, in the text's order; positive weights speak for the verdict.
    `base` and `score` are the scores of none and of all of the attributed words, by the tier that decided.
    """

    event_type: ClassVar[str] = "weir.explanation.v1"

    request_id: str
    event_id: str
    tenant: str
    model: str
    side: str
    detector: str
    version: str
    method: str
    base: float
    score: float
    attributed: int
    words: tuple[WordWeight, ...] = ()


class Signal(EventData, frozen=True, kw_only=True):
    """Numeric features of one event, for the keyed detectors.

    ``conversation`` is a mark of its conversation, not the id; ``prompt`` names the fixed prompt that a sentinel's answer is to.
    """

    event_type: ClassVar[str] = "weir.signal.v1"

    request_id: str
    event_id: str
    tenant: str
    model: str
    side: str
    time: float
    principal: str = ""
    model_version: str = ""
    status: str = ""
    features: dict[str, float] = {}
    embedding: bytes | None = None
    embedding_version: str = ""
    conversation: str = ""
    prompt: str = ""


class FindingRecord(EventData, frozen=True, kw_only=True):
    """What a detector found: in one event (`bucket` is None) or in one closed bucket of a stream."""

    event_type: ClassVar[str] = "weir.finding.v1"

    tenant: str
    model: str
    side: str
    detector: str
    version: str
    time: float
    alarm: bool = True
    score: float = 1.0
    bucket: int | None = None
    bucket_seconds: float | None = None
    statistic: float = 0.0
    limit: float = 0.0
    feature: str = ""
    events: int = 1
    principals: dict[str, int] = {}
    evidence: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    details: dict[str, float] = {}


class SentinelRecord(EventData, frozen=True, kw_only=True):
    """What the sentinels say of `model` up to log time `at`: whether their answers are unlike the former ones (`moved`).

    Stands on every partition of findings, beside the finding that it repeats: alerts of any tenant may have to tell it.
    """

    event_type: ClassVar[str] = "weir.sentinel.v1"

    model: str
    at: float
    moved: bool
    statistic: float = 0.0
    limit: float = 0.0


class LogRange(EventData, frozen=True, kw_only=True):
    """Offsets of `topic` that a decision rests on, by partition: first inclusive, last exclusive."""

    topic: str
    first: dict[str, int] = msgspec.field(name="from", default_factory=dict)
    last: dict[str, int] = msgspec.field(name="to", default_factory=dict)


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
    opened_at: float
    at: float
    resolved_at: float | None = None
    summary: str = ""
    evidence: tuple[str, ...] = ()
    evidence_total: int = 0
    trace_id: str = ""
    causation_ids: tuple[str, ...] = ()
    revision: int = 0
    windows: int = 0
    events: int = 0
    principals: dict[str, int] = {}
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
    at: float
    until: float
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
    at: float
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
    number: int = 0


ABORTED_TYPE = "weir.inference.aborted.v1"

#: CloudEvents type to data struct.
EVENT_TYPES: dict[str, type[EventData]] = {
    struct.event_type: struct
    for struct in (
        RequestRecord,
        ResponseRecord,
        GapRecord,
        Tick,
        Closed,
        Verdict,
        Signal,
        FindingRecord,
        AlertRecord,
        SilenceRecord,
        RetrainingRecord,
        Feedback,
        SentinelRecord,
        ExplanationRecord,
    )
}
EVENT_TYPES[ABORTED_TYPE] = ResponseRecord
