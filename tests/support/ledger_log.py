"""Records of the log, as capture and the stages write them; `Log` counts the offsets of each partition."""

import itertools
from collections import defaultdict

import msgspec

from stream.wire import ABORTED_TYPE, ExplanationRecord, GapRecord, ResponseRecord, Tick, Verdict, WordWeight, encode
from stream.wire.ids import explanation_id, verdict_id
from support.events import MEASURED, TRACE, a_request, an_end, event_of


class Entry(msgspec.Struct, frozen=True):
    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int = -1


def request(request_id, time, *, source="s1", text="canary-prompt", owed=("pii", "toxicity"), **fields):
    data = a_request(request_id, text, owed=owed, **fields)
    return event_of(data, f"{request_id}/request", time, source=source, traceparent=TRACE)


def end(request_id, time, *, source="s1", owed=("pii",), finish_reason="stop", **fields):
    data = an_end(request_id, "canary-answer", finish_reason=finish_reason, owed=owed, **fields, **MEASURED)
    return event_of(data, f"{request_id}/end", time, source=source, traceparent=TRACE)


def aborted(request_id, time, *, source="s0", tenant="acme", **fields):
    """Return the end that the shipper writes for a request whose source was killed."""
    data = ResponseRecord(request_id=request_id, tenant=tenant, model="m", status="aborted", **fields)
    return event_of(data, f"{request_id}/end", time, source=source, kind=ABORTED_TYPE, traceparent=TRACE)


def _about(event):
    """Return the fields that every record about `event` has."""
    return {
        "request_id": event.data.request_id,
        "event_id": event.id,
        "tenant": event.data.tenant,
        "model": event.data.model,
        "side": "input" if event.id.endswith("/request") else "output",
    }


def verdict(event, detector, *, version="1", label="ok", flagged=False, score=None):
    score = (0.9 if flagged else 0.1) if score is None else score
    data = Verdict(**_about(event), detector=detector, version=version, flagged=flagged, label=label, score=score)
    return event_of(data, verdict_id(event.id, detector, version), event.time)


def explanation(event, detector, *words, version="1"):
    """Return an explanation; `words` are (start, end, weight)."""
    weights = tuple(WordWeight(start=start, end=end, weight=weight) for start, end, weight in words)
    measured = {"method": "shap", "base": 0.1, "score": 0.9, "attributed": 7, "words": weights}
    data = ExplanationRecord(**_about(event), detector=detector, version=version, **measured)
    return event_of(data, explanation_id(event.id, detector, version, "shap"), event.time)


def forwarded(sources, *, partition=0, closed=()):
    """Return a tick of score."""
    data = Tick(stage="score", partition=partition, sources=sources, closed=closed)
    return event_of(data, f"tick/{partition}/{sources}", 1.0)


def gap(source, first, last, request_ids=(), *, time=5.0, reason="full"):
    count = last - first + 1
    numbers = {"first_number": first, "last_number": last, "count": count}
    data = GapRecord(source=source, reason=reason, request_ids=request_ids, **numbers)
    return event_of(data, f"{source}/gap/{first}", time, source=source)


class Log:
    """Appends events to topics and returns their records."""

    def __init__(self):
        self._offsets = defaultdict(itertools.count)

    def records(self, topic, *events, partition=0):
        records = map(encode, events)
        return [entry for one in records for entry in self.raw(topic, one.value, one.headers, partition)]

    def raw(self, topic, value, headers=(), partition=0):
        return [Entry(topic, partition, next(self._offsets[topic, partition]), value, tuple(headers))]

    def inference(self, *events, partition=0):
        return self.records("weir.inference", *events, partition=partition)

    def verdicts(self, *events, partition=0):
        return self.records("weir.verdicts", *events, partition=partition)
