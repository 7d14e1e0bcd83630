"""What detectors say: of one event, of a window, of the model."""

from typing import ClassVar

from stream.wire.events.base import Count, EventData, Int64, Seconds

__all__ = ["ExplanationRecord", "FindingRecord", "SentinelRecord", "Signal", "Span", "Verdict", "WordWeight"]


class Span(EventData, frozen=True, kw_only=True):
    """Where something was found: character offsets into the raw text, end exclusive; never the text itself."""

    start: Count
    end: Count
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

    start: Count
    end: Count
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
    attributed: Count
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
    time: Seconds
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
    time: Seconds
    alarm: bool = True
    score: float = 1.0
    bucket: Int64 | None = None
    bucket_seconds: Seconds | None = None
    statistic: float = 0.0
    limit: float = 0.0
    feature: str = ""
    events: Count = 1
    principals: dict[str, Count] = {}
    evidence: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    details: dict[str, float] = {}


class SentinelRecord(EventData, frozen=True, kw_only=True):
    """What the sentinels say of `model` up to log time `at`: whether their answers are unlike the former ones (`moved`).

    Stands on every partition of findings, beside the finding that it repeats: alerts of any tenant may have to tell it.
    """

    event_type: ClassVar[str] = "weir.sentinel.v1"

    model: str
    at: Seconds
    moved: bool
    statistic: float = 0.0
    limit: float = 0.0
