"""One event of every type of version 1 of the contract, for the golden files and their tests."""

from stream import wire

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WHERE = {"tenant": "acme", "model": "smollm2"}
REQUEST = {"request_id": "r1", **WHERE, "principal": "k_1", "conversation_id": "c1", "model_version": "sha256:ab"}

DATA: dict[str, wire.EventData] = {
    "request": wire.RequestRecord(
        **REQUEST,
        stream=True,
        messages=(wire.Message(role="user", content="Grüße, 你好"),),
        parameters={"temperature": 0.5, "max_tokens": 16, "stop": ["\n"], "seed": None},
        owed=("pii", "toxicity"),
        number=7,
    ),
    "response": wire.ResponseRecord(
        **REQUEST,
        status="complete",
        text="Hallo",
        finish_reason="stop",
        usage=wire.Usage(prompt_tokens=9, completion_tokens=1),
        latency_seconds=0.25,
        time_to_first_token_seconds=0.1,
        owed=("pii",),
        number=8,
    ),
    "aborted": wire.ResponseRecord(
        **REQUEST, status="aborted", error=wire.ErrorInfo(kind="replica_died", status=503), number=9
    ),
    "gap": wire.GapRecord(source="s1", first_number=3, last_number=5, count=3, reason="full", request_ids=("r2",)),
    "tick": wire.Tick(stage="score", partition=2, sources={"s1": 12.5}, closed=("s0",)),
    "closed": wire.Closed(source="s1", time=12.5),
    "verdict": wire.Verdict(
        request_id="r1",
        event_id="r1/request",
        **WHERE,
        side="input",
        detector="pii",
        version="1",
        flagged=True,
        label="pii",
        score=0.9,
        spans=(wire.Span(start=0, end=5, type="PERSON", score=0.85),),
    ),
    "explanation": wire.ExplanationRecord(
        request_id="r1",
        event_id="r1/request",
        **WHERE,
        side="input",
        detector="toxicity",
        version="2",
        method="shap",
        base=0.25,
        score=0.875,
        attributed=7,
        words=(wire.WordWeight(start=10, end=15, weight=2.5), wire.WordWeight(start=16, end=21, weight=-0.5)),
    ),
    "signal": wire.Signal(
        request_id="r1",
        event_id="r1/request",
        **WHERE,
        side="input",
        time=12.25,
        features={"prompt_chars": 11.0},
        embedding=b"\x00\x01\xff",
        embedding_version="minilm-1",
    ),
    "finding": wire.FindingRecord(
        **WHERE,
        side="input",
        detector="drift",
        version="1",
        time=60.0,
        bucket=2,
        bucket_seconds=30.0,
        statistic=1234.5,
        limit=1000.0,
        principals={"k_1": 4},
        evidence=("r1",),
        traces=(TRACE,),
    ),
    "alert": wire.AlertRecord(
        alert_id="al_1",
        state="firing",
        detector="drift",
        severity="warning",
        **WHERE,
        side="input",
        opened_at=60.0,
        at=61.0,
        evidence=("r1",),
        evidence_total=1,
        causation_ids=("fd_1",),
    ),
    "silence": wire.SilenceRecord(
        silence_id="si_1",
        alert_id="al_1",
        **WHERE,
        side="input",
        detector="anomaly",
        feature="latency_seconds",
        reason="Wartung, planned",
        by="ops",
        at=61.0,
        until=7261.0,
    ),
    "retraining": wire.RetrainingRecord(
        retraining_id="rt_1",
        state="requested",
        reason="drift and toxicity agree",
        **WHERE,
        at=61.0,
        alert_ids=("al_1",),
        data=wire.LogRange(topic="weir.inference", first={"0": 1}, last={"0": 9}),
    ),
    "sentinel": wire.SentinelRecord(
        model="smollm2-135m-instruct", at=1735689630.0, moved=True, statistic=12000.0, limit=10000.0
    ),
    "feedback": wire.Feedback(request_id="r1", tenant="acme", rating="down", detector="toxicity", number=10),
}


def event(name: str) -> wire.Event:
    data = DATA[name]
    return wire.Event(
        id=f"id-{name}",
        source="s1",
        type=wire.ABORTED_TYPE if name == "aborted" else data.event_type,
        time=1_700_000_000.123456,
        data=data,
        subject="r1",
        correlationid="r1",
        causationid="cause",
        traceparent=TRACE,
        partitionkey="key",
        severitynumber="13",
        severitytext="warning",
    )
