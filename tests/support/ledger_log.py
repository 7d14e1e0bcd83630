"""Records of the log, made as the stages make them; `Log` keeps an offset for each topic and partition."""

import itertools
from collections import defaultdict

import msgspec

from stream.wire import (
    ABORTED_TYPE,
    Closed,
    Event,
    ExplanationRecord,
    GapRecord,
    RequestRecord,
    ResponseRecord,
    Tick,
    Usage,
    Verdict,
    WordWeight,
    encode,
)
from stream.wire.ids import explanation_id, verdict_id

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Entry(msgspec.Struct, frozen=True):
    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def request(request_id, time, *, source="s1", owed=("pii", "toxicity"), tenant="acme", model="m"):
    data = RequestRecord(request_id=request_id, tenant=tenant, model=model, owed=owed, prompt="canary-prompt")
    return Event(
        id=f"{request_id}/request", source=source, type=data.event_type, time=time, data=data, traceparent=TRACE
    )


def end(request_id, time, *, source="s1", owed=("pii",), tenant="acme", model="m", status="complete"):
    data = ResponseRecord(
        request_id=request_id,
        tenant=tenant,
        model=model,
        status=status,
        owed=owed,
        text="canary-answer",
        finish_reason="stop",
        usage=Usage(prompt_tokens=3, completion_tokens=5),
        latency_seconds=0.5,
        time_to_first_token_seconds=0.1,
    )
    return Event(id=f"{request_id}/end", source=source, type=data.event_type, time=time, data=data, traceparent=TRACE)


def aborted(request_id, time, *, source="s0"):
    """Return the end that is written for a request whose source died."""
    shared = {"request_id": request_id, "tenant": "acme", "model": "m"}
    data = ResponseRecord(status="aborted", **shared)
    return Event(id=f"{request_id}/end", source=source, type=ABORTED_TYPE, time=time, data=data, traceparent=TRACE)


def verdict(event, detector, *, version="1", label="ok", flagged=False):
    side = "input" if event.id.endswith("/request") else "output"
    data = Verdict(
        request_id=event.data.request_id,
        event_id=event.id,
        tenant=event.data.tenant,
        model=event.data.model,
        side=side,
        detector=detector,
        version=version,
        flagged=flagged,
        label=label,
        score=0.9 if flagged else 0.1,
    )
    name = verdict_id(event.id, detector, version)
    return Event(id=name, source="weir/score", type=data.event_type, time=event.time, data=data)


def explanation(event, detector, *words, version="1"):
    """Return one of `words`, which are (start, end, weight)."""
    data = ExplanationRecord(
        request_id=event.data.request_id,
        event_id=event.id,
        tenant=event.data.tenant,
        model=event.data.model,
        side="input" if event.id.endswith("/request") else "output",
        detector=detector,
        version=version,
        method="shap",
        base=0.1,
        score=0.9,
        attributed=7,
        words=tuple(WordWeight(start=start, end=end, weight=weight) for start, end, weight in words),
    )
    name = explanation_id(event.id, detector, version, "shap")
    return Event(id=name, source="weir/score", type=data.event_type, time=event.time, data=data)


def tick(time, *, source="s1"):
    data = Tick(sources={source: time})
    return Event(id=f"{source}/tick/{time}", source=source, type=data.event_type, time=time, data=data)


def forwarded(sources, *, partition=0, closed=()):
    data = Tick(stage="score", partition=partition, sources=sources, closed=closed)
    return Event(id=f"tick/{partition}/{sources}", source="weir/score", type=data.event_type, time=1.0, data=data)


def closed(time, *, source="s1"):
    data = Closed(source=source, time=time)
    return Event(id=f"{source}/closed", source=source, type=data.event_type, time=time, data=data)


def gap(source, first, last, request_ids=(), *, time=5.0, reason="full"):
    data = GapRecord(source=source, first_number=first, last_number=last, count=last - first + 1, reason=reason)
    data = msgspec.structs.replace(data, request_ids=request_ids)
    return Event(id=f"{source}/gap/{first}", source=source, type=data.event_type, time=time, data=data)


class Log:
    """Appends events to topics and hands out their records."""

    def __init__(self):
        self._offsets = defaultdict(itertools.count)

    def records(self, topic, *events, partition=0):
        entries = []
        for event in events:
            record = encode(event)
            offset = next(self._offsets[topic, partition])
            entries.append(Entry(topic, partition, offset, record.value, record.headers))
        return entries

    def raw(self, topic, value, headers=(), partition=0):
        return [Entry(topic, partition, next(self._offsets[topic, partition]), value, tuple(headers))]

    def inference(self, *events, partition=0):
        return self.records("weir.inference", *events, partition=partition)

    def verdicts(self, *events, partition=0):
        return self.records("weir.verdicts", *events, partition=partition)
