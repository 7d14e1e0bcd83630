"""Builds verdicts, findings, signals and explanations; ids and order depend only on the inference event."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from detectors.registry import alert_text
from detectors.text.explain import Attribution, Explained
from stream.stages.score.event_features import TOOL_RESULT, prompt_of, request_features, response_features, signal_texts
from stream.stages.score.machine import inference_of, side_of
from stream.stages.score.model_pool import Outcome
from stream.stages.score.model_process import Scored
from stream.wire import (
    Event,
    ExplanationRecord,
    FindingRecord,
    RequestRecord,
    ResponseRecord,
    Signal,
    Verdict,
    WordWeight,
    conversation_key,
    stream_key,
    trained_version,
)
from stream.wire.ids import event_finding_id, explanation_id, verdict_id

SOURCE = "weir/score"
#: Largest number of words in an explanation; words with the largest weights are kept.
MOST_WORDS = 20

_Data = Verdict | FindingRecord | Signal | ExplanationRecord


def _event(event: Event, identity: str, data: _Data, traceparent: str) -> Event:
    """Return an event with `data`; the inference event `event` is its cause and has the same key."""
    return Event(
        id=identity,
        source=SOURCE,
        type=data.event_type,
        time=event.time,
        data=data,
        subject=inference_of(event).request_id,
        correlationid=event.correlationid,
        causationid=event.id,
        traceparent=traceparent,
        partitionkey=event.partitionkey,
    )


def verdict_event(event: Event, verdict: Verdict, traceparent: str) -> Event:
    """Return the event of `verdict`."""
    return _event(event, verdict_id(event.id, verdict.detector, verdict.version), verdict, traceparent)


def finding_event(event: Event, verdict: Verdict, traceparent: str) -> Event | None:
    """Return the finding of a verdict.

    Return None if the verdict is not flagged, if the detector's scores are only features for drift, or if no user
    received the answer (a challenger's shadow answer).
    """
    if not verdict.flagged or alert_text(verdict.detector) is None or inference_of(event).shadow_of:
        return None
    principal = inference_of(event).principal
    finding = FindingRecord(
        tenant=verdict.tenant,
        model=verdict.model,
        side=verdict.side,
        detector=verdict.detector,
        version=verdict.version,
        time=event.time,
        score=verdict.score,
        principals={principal: 1} if principal else {},
        evidence=(verdict.request_id,),
        traces=(traceparent,) if traceparent else (),
        details={kind: float(count) for kind, count in Counter(span.type for span in verdict.spans).items()},
        model_version=trained_version(verdict.model_version),
    )
    identity = event_finding_id(event.id, verdict.detector, verdict.version)
    return msgspec.structs.replace(
        _event(event, identity, finding, traceparent),
        causationid=verdict_id(event.id, verdict.detector, verdict.version),
        partitionkey=stream_key(verdict.tenant, verdict.model, verdict.side, "", verdict.model_version),
    )


def signal_events(
    event: Event, outcome: Outcome, traceparent: str, *, by_part: bool = False, name_tools: bool = False
) -> list[Event]:
    """Return the signal of an event, or one signal per part group if `by_part` is true; `name_tools` as in `response_features`.

    A signal has features, including the scores (except for tool results), and the embedding if the event was sampled.
    A shadow request and its answer have no signals: stream detectors and the gates of retraining read users' traffic.
    """
    if inference_of(event).shadow_of:
        return []
    texts = signal_texts(inference_of(event), by_part=by_part)
    scored = outcome if isinstance(outcome, Scored) else Scored()
    return [
        _signal_event(event, scored, traceparent, part, _features(event, part, text, name_tools))
        for part, text in texts.items()
    ]


def _features(event: Event, part: str, text: str, name_tools: bool) -> dict[str, float]:  # noqa: FBT001 - private
    data = inference_of(event)
    if isinstance(data, RequestRecord):
        return request_features(data, text, part)
    return response_features(data, name_tools=name_tools)


def _signal_event(event: Event, scored: Scored, traceparent: str, part: str, features: dict[str, float]) -> Event:
    data, side = inference_of(event), side_of(inference_of(event))
    if part != TOOL_RESULT:
        features |= {f"score_{name}": score.score for name, score in scored.scores.items()}
    signal = Signal(
        request_id=data.request_id,
        event_id=event.id,
        tenant=data.tenant,
        model=data.model,
        side=side,
        time=event.time,
        principal=data.principal,
        model_version=data.model_version,
        status=data.status if isinstance(data, ResponseRecord) else "",
        features=features,
        embedding=scored.embeddings.get(part),
        embedding_version=scored.embedding_version if part in scored.embeddings else "",
        conversation=conversation_key(data.tenant, data.conversation_id),
        prompt=prompt_of(data),
        part=part,
        turns=data.turns,
    )
    return msgspec.structs.replace(
        _event(event, f"{event.id}/signal/{part}" if part else f"{event.id}/signal", signal, traceparent),
        partitionkey=stream_key(data.tenant, data.model, side, part, data.model_version),
    )


def explanation_event(event: Event, verdict: Verdict, explained: Explained) -> Event:
    """Return the explanation of `verdict`; it contains the offsets of words, not the words."""
    record = ExplanationRecord(
        request_id=verdict.request_id,
        event_id=event.id,
        tenant=verdict.tenant,
        model=verdict.model,
        side=verdict.side,
        detector=verdict.detector,
        version=verdict.version,
        method=explained.method,
        base=round(explained.base, 4),
        score=round(explained.score, 4),
        attributed=len(explained.words),
        words=_strongest(explained.words),
    )
    identity = explanation_id(event.id, verdict.detector, verdict.version, explained.method)
    return msgspec.structs.replace(
        _event(event, identity, record, event.traceparent),
        causationid=verdict_id(event.id, verdict.detector, verdict.version),
    )


def _strongest(words: Sequence[Attribution]) -> tuple[WordWeight, ...]:
    kept = sorted(words, key=lambda word: (-abs(word.weight), word.start))[:MOST_WORDS]
    return tuple(WordWeight(start=w.start, end=w.end, weight=round(w.weight, 4)) for w in sorted(kept))
