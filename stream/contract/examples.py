"""One event of every type, encoded by the codec: the examples of the AsyncAPI document."""

import json
from typing import Any

from stream.wire import (
    ABORTED_TYPE,
    AlertRecord,
    Closed,
    ErrorInfo,
    Event,
    EventData,
    ExplanationRecord,
    Feedback,
    FindingRecord,
    GapRecord,
    LogRange,
    Message,
    RequestRecord,
    ResponseRecord,
    RetrainingRecord,
    SentinelRecord,
    Signal,
    SilenceRecord,
    Span,
    Tick,
    Usage,
    Verdict,
    WordWeight,
    encode,
    inference_key,
    stream_key,
    tenant_model_key,
)

__all__ = ["example", "example_event"]

_SOURCE = "gateway-3f0c5a1e9b7d2468"
_REQUEST = "b0712dec-2a5d-479f-b318-fb6c296d63d9"
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_MODEL = "smollm2-135m-instruct"
_WHERE: dict[str, Any] = {"tenant": "acme", "model": _MODEL}
_ASKED: dict[str, Any] = {"request_id": _REQUEST, **_WHERE, "principal": "k_5d1f", "conversation_id": "c-17"}
_AT = 1_767_225_600.25
_STREAM = stream_key("acme", _MODEL, "input")
_KEY = inference_key("acme", "c-17")

_DATA: dict[str, EventData] = {
    RequestRecord.event_type: RequestRecord(
        **_ASKED,
        messages=(Message(role="user", content="My card is 4111 1111 1111 1111, is it valid?"),),
        parameters={"max_tokens": 64, "temperature": 0.2},
        owed=("pii", "toxicity", "injection"),
        number=41,
    ),
    ResponseRecord.event_type: ResponseRecord(
        **_ASKED,
        status="complete",
        text="I cannot check card numbers.",
        finish_reason="stop",
        usage=Usage(prompt_tokens=23, completion_tokens=7),
        latency_seconds=0.41,
        time_to_first_token_seconds=0.08,
        owed=("pii", "toxicity", "refusal"),
        number=42,
    ),
    ABORTED_TYPE: ResponseRecord(
        **_ASKED, status="aborted", error=ErrorInfo(kind="model_replica_lost", status=503), number=42
    ),
    GapRecord.event_type: GapRecord(
        source=_SOURCE, first_number=43, last_number=45, count=3, reason="full", request_ids=(_REQUEST,)
    ),
    Tick.event_type: Tick(sources={_SOURCE: _AT}, spool=0.02),
    Closed.event_type: Closed(source=_SOURCE, time=_AT),
    Verdict.event_type: Verdict(
        request_id=_REQUEST,
        event_id=f"{_REQUEST}/request",
        **_WHERE,
        side="input",
        detector="pii",
        version="2",
        flagged=True,
        label="CREDIT_CARD",
        score=1.0,
        spans=(Span(start=11, end=30, type="CREDIT_CARD"),),
    ),
    ExplanationRecord.event_type: ExplanationRecord(
        request_id=_REQUEST,
        event_id=f"{_REQUEST}/request",
        **_WHERE,
        side="input",
        detector="toxicity",
        version="2",
        method="occlusion",
        base=0.02,
        score=0.91,
        attributed=9,
        words=(WordWeight(start=3, end=7, weight=2.25),),
    ),
    Signal.event_type: Signal(
        request_id=_REQUEST,
        event_id=f"{_REQUEST}/request",
        **_WHERE,
        side="input",
        time=_AT,
        features={"characters": 44.0, "words": 9.0},
    ),
    FindingRecord.event_type: FindingRecord(
        **_WHERE, side="input", detector="pii", version="2", time=_AT, principals={"k_5d1f": 1}, evidence=(_REQUEST,)
    ),
    SentinelRecord.event_type: SentinelRecord(model=_MODEL, at=_AT, moved=False, statistic=12.5, limit=10_000.0),
    AlertRecord.event_type: AlertRecord(
        alert_id="al_9b1d",
        state="firing",
        detector="pii",
        severity="warning",
        **_WHERE,
        side="input",
        opened_at=_AT,
        at=_AT,
        summary=f"1 finding of personal data in prompts to {_MODEL}, from 1 API key",
        evidence=(_REQUEST,),
        evidence_total=1,
        trace_id=_TRACE[3:35],
        causation_ids=("fd_77aa",),
        events=1,
        principals={"k_5d1f": 1},
        score=1.0,
        runbook="Open a request of the evidence with `weir show ID`.",
    ),
    SilenceRecord.event_type: SilenceRecord(
        silence_id="si_02c4",
        alert_id="al_9b1d",
        **_WHERE,
        side="input",
        detector="pii",
        at=_AT,
        until=_AT + 7200,
        reason="load test",
        by="ops",
    ),
    RetrainingRecord.event_type: RetrainingRecord(
        retraining_id="rt_c01f",
        state="requested",
        reason="drift and pii agree: 5 windows, 244 events of 4 API keys",
        **_WHERE,
        at=_AT,
        alert_ids=("al_9b1d", "al_d21e"),
        data=LogRange(topic="weir.inference", first={"0": 120}, last={"0": 364}),
        gates={"events": True, "principals": True},
    ),
    Feedback.event_type: Feedback(request_id=_REQUEST, tenant="acme", rating="down", detector="pii"),
}

#: Key and subject of each example; an absent type has neither.
_ADDRESSED = {
    RequestRecord.event_type: (_KEY, _REQUEST),
    ResponseRecord.event_type: (_KEY, _REQUEST),
    ABORTED_TYPE: (_KEY, _REQUEST),
    GapRecord.event_type: (_SOURCE, ""),
    Verdict.event_type: (_KEY, _REQUEST),
    ExplanationRecord.event_type: (_KEY, _REQUEST),
    Signal.event_type: (_STREAM, _REQUEST),
    FindingRecord.event_type: (_STREAM, _REQUEST),
    AlertRecord.event_type: ("al_9b1d", "al_9b1d"),
    SilenceRecord.event_type: ("si_02c4", "al_9b1d"),
    RetrainingRecord.event_type: (tenant_model_key("acme", _MODEL), "rt_c01f"),
    Feedback.event_type: (_KEY, _REQUEST),
}


def example_event(event_type: str) -> Event:
    """Return the example of `event_type`."""
    key, subject = _ADDRESSED.get(event_type, ("", ""))
    return Event(
        id=f"{_SOURCE}/example/{event_type}",
        source=_SOURCE,
        type=event_type,
        time=_AT,
        data=_DATA[event_type],
        subject=subject,
        correlationid=_REQUEST if subject else "",
        traceparent=_TRACE if subject else "",
        partitionkey=key,
    )


def example(event_type: str) -> dict[str, Any]:
    """Return headers and payload of the example of `event_type`, in the form of AsyncAPI."""
    record = encode(example_event(event_type))
    return {
        "name": event_type,
        "headers": {name: value.decode() for name, value in record.headers},
        "payload": json.loads(record.value),
    }
