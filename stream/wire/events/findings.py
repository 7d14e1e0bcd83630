"""Results of detectors: about one event, a window, or the model."""

from typing import ClassVar

from stream.wire.events.base import AnySide, Count, EventData, Int64, Seconds, Side


class Span(EventData, frozen=True, kw_only=True):
    """A span of the raw text as character offsets, end exclusive; never the text itself.

    The text is the text of the part `part`, by default the part of the verdict. `part` can also be a part of the context of an end record, such as
    ``/context/0/parts/0``: the text with which the answer was compared.
    """

    start: Count
    end: Count
    type: str
    score: float = 1.0
    part: str = ""


class Verdict(EventData, frozen=True, kw_only=True):
    """The result of one detector for one event.

    `part` is the JSON pointer of the part with the highest score, such as ``/messages/3/parts/0``; "" if the detector read all text parts together,
    joined by line breaks. `flagged` is whether `score`, in [0, 1], reaches the detector's threshold: a finding. `label` is the detector's name for its
    decision. Without a finding, it is ``ok``, ``error`` (the text was not read, or only in part), ``unknown`` (the detector cannot decide) or
    ``unsupported_language``. `covered` is the share of the text that was read. `model_version` is the version that answered, so that the answers of two versions can be compared.
    """

    event_type: ClassVar[str] = "weir.verdict.v1"

    request_id: str
    event_id: str
    tenant: str
    model: str
    side: Side
    detector: str
    version: str
    flagged: bool
    label: str
    score: float
    covered: float = 1.0
    part: str = ""
    spans: tuple[Span, ...] = ()
    model_version: str = ""


class WordWeight(EventData, frozen=True, kw_only=True):
    """The contribution of a word to a score, in log-odds.

    `start` and `end` are offsets into the raw text; the word itself is never included.
    """

    start: Count
    end: Count
    weight: float


class ExplanationRecord(EventData, frozen=True, kw_only=True):
    """The words that a flagged verdict depends on, computed after the verdict; no alert depends on an explanation.

    `attributed` is the number of words whose weights were computed; `words` are the words with the largest weights, in
    the order of the text. A positive weight supports the verdict. `score` is the score of the text, and `base` is the
    score without the attributed words. Both are scores of the model (linear or encoder) that decided the verdict.
    """

    event_type: ClassVar[str] = "weir.explanation.v1"

    request_id: str
    event_id: str
    tenant: str
    model: str
    side: Side
    detector: str
    version: str
    method: str
    base: float
    score: float
    attributed: Count
    words: tuple[WordWeight, ...] = ()


class Signal(EventData, frozen=True, kw_only=True):
    """Numeric features of one event, for the stream detectors.

    `conversation` is a hash of the event's conversation id; `turns` are those of the request's record. `prompt` is the name
    of the fixed prompt if the event answers one of Weir's fixed prompts, else "". `part` is the part group that the signal
    is about if the tenant has ``drift_by_part``: ``prompt``, ``tool_result`` or ``answer``.
    """

    event_type: ClassVar[str] = "weir.signal.v1"

    request_id: str
    event_id: str
    tenant: str
    model: str
    side: Side
    time: Seconds
    principal: str = ""
    model_version: str = ""
    status: str = ""
    features: dict[str, float] = {}
    embedding: bytes | None = None
    embedding_version: str = ""
    conversation: str = ""
    prompt: str = ""
    part: str = ""
    turns: tuple[str, ...] = ()


class FindingRecord(EventData, frozen=True, kw_only=True):
    """A detector's finding about one event (`bucket` is None), or about one closed bucket (time window) of a stream.

    If `alarm` is false, the window had no alarm. `part` is the part group of the stream's signals, or "". `model_version` is the version of the stream's events if Weir
    trained this version, else "".
    """

    event_type: ClassVar[str] = "weir.finding.v1"

    tenant: str
    model: str
    side: AnySide
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
    part: str = ""
    model_version: str = ""


class SentinelRecord(EventData, frozen=True, kw_only=True):
    """The result of comparing a model's answers to Weir's fixed prompts with its former answers.

    `moved` states whether the answers of `model` differ from its former answers, as of event time `at`. A copy goes to
    every partition of findings, because the alerts of every tenant contain this result.
    """

    event_type: ClassVar[str] = "weir.sentinel.v1"

    model: str
    at: Seconds
    moved: bool
    statistic: float = 0.0
    limit: float = 0.0
