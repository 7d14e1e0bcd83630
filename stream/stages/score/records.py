"""What one scored event gives: verdicts, findings, a signal. Pure functions; ids and order depend on the event alone."""

from collections.abc import Callable

from detectors.base import Score, Turn
from detectors.registry import alert_text
from stream.stages.score.features import prompt_of, request_features, response_features
from stream.stages.score.model_pool import Outcome
from stream.stages.score.model_process import Item, Scored
from stream.wire import (
    Event,
    FindingRecord,
    RequestRecord,
    ResponseRecord,
    Signal,
    Span,
    Verdict,
    inference_key,
    stream_key,
)
from stream.wire.ids import event_finding_id, verdict_id

__all__ = [
    "MAX_SPANS",
    "SOURCE",
    "finding_event",
    "item_of",
    "owed",
    "side_of",
    "signal_event",
    "text_of",
    "verdict",
    "verdict_event",
    "verdicts",
]

SOURCE = "weir/score"
#: A verdict stays under the broker's record limit.
MAX_SPANS = 2_000
_MARK = 16
ERROR = "error"

Inference = RequestRecord | ResponseRecord


def side_of(data: Inference) -> str:
    """Return ``input`` for a request, ``output`` for its end."""
    return "input" if isinstance(data, RequestRecord) else "output"


def text_of(data: Inference) -> str:
    """Return the text that the detectors of its side see."""
    return data.text() if isinstance(data, RequestRecord) else data.text


def owed(data: Inference) -> tuple[str, ...]:
    """Return the detectors owed, each once and in order; an end without text owes nothing."""
    if isinstance(data, ResponseRecord) and not data.text:
        return ()
    return tuple(dict.fromkeys(data.owed))


def item_of(data: Inference, detectors: tuple[str, ...], *, embed: bool = False) -> Item:
    """Return what a model process is given of a record: its text, and the prompt that came with an answer."""
    context = data.context if isinstance(data, ResponseRecord) else ()
    turns = tuple(Turn(role=message.role, content=message.content) for message in context)
    return Item(text=text_of(data), owed=detectors, context=turns, embed=embed)


def verdicts(event: Event, outcome: Outcome, version_of: Callable[[str], str]) -> list[Verdict]:
    """Return one verdict for each detector owed; ``error`` where there is no score, or one of a part without a finding.

    Parameters
    ----------
    event
        A request or an end.
    outcome
        What the pool said of it.
    version_of
        The version of a detector that did not score.
    """
    scored = outcome if isinstance(outcome, Scored) else Scored()
    found = []
    for name in owed(_inference(event)):
        score = scored.scores.get(name)
        version = scored.versions[name] if score is not None else version_of(name)
        found.append(verdict(event, name, version, score))
    return found


def verdict(event: Event, detector: str, version: str, score: Score | None) -> Verdict:
    """Return what one detector says of `event`; `score` is None where it could not say."""
    data = _inference(event)
    if score is None:
        score = Score(score=0.0, label=ERROR, flagged=False, covered=0.0)
    partial = score.covered < 1.0 and not score.flagged
    return Verdict(
        request_id=data.request_id,
        event_id=event.id,
        tenant=data.tenant,
        model=data.model,
        side=side_of(data),
        detector=detector,
        version=version,
        flagged=score.flagged,
        label=ERROR if partial else score.label,
        score=score.score,
        covered=score.covered,
        spans=tuple(Span(start=s.start, end=s.end, type=s.type, score=s.score) for s in score.spans[:MAX_SPANS]),
    )


def verdict_event(event: Event, verdict: Verdict, traceparent: str) -> Event:
    """Return the event that carries `verdict`, with the key of its inference event."""
    return Event(
        id=verdict_id(event.id, verdict.detector, verdict.version),
        source=SOURCE,
        type=Verdict.event_type,
        time=event.time,
        data=verdict,
        subject=verdict.request_id,
        correlationid=event.correlationid,
        causationid=event.id,
        traceparent=traceparent,
        partitionkey=event.partitionkey,
    )


def finding_event(event: Event, verdict: Verdict, traceparent: str) -> Event | None:
    """Return the finding of a flagged verdict; None if its detector opens no alert: its rate is a feature that drift reads."""
    if not verdict.flagged or alert_text(verdict.detector) is None:
        return None
    data = _inference(event)
    details: dict[str, float] = {}
    for span in verdict.spans:
        details[span.type] = details.get(span.type, 0.0) + 1.0
    finding = FindingRecord(
        tenant=verdict.tenant,
        model=verdict.model,
        side=verdict.side,
        detector=verdict.detector,
        version=verdict.version,
        time=event.time,
        score=verdict.score,
        principals={data.principal: 1} if data.principal else {},
        evidence=(verdict.request_id,),
        traces=(traceparent,) if traceparent else (),
        details=details,
    )
    return Event(
        id=event_finding_id(event.id, verdict.detector, verdict.version),
        source=SOURCE,
        type=FindingRecord.event_type,
        time=event.time,
        data=finding,
        subject=verdict.request_id,
        correlationid=event.correlationid,
        causationid=verdict_id(event.id, verdict.detector, verdict.version),
        traceparent=traceparent,
        partitionkey=stream_key(verdict.tenant, verdict.model, verdict.side),
    )


def signal_event(event: Event, outcome: Outcome, traceparent: str) -> Event:
    """Return the signal of an event: its features, the scores among them, and its embedding where it was sampled."""
    data = _inference(event)
    scored = outcome if isinstance(outcome, Scored) else Scored()
    features = request_features(data) if isinstance(data, RequestRecord) else response_features(data)
    features |= {f"score_{name}": score.score for name, score in scored.scores.items()}
    signal = Signal(
        request_id=data.request_id,
        event_id=event.id,
        tenant=data.tenant,
        model=data.model,
        side=side_of(data),
        time=event.time,
        principal=data.principal,
        model_version=data.model_version,
        status=data.status if isinstance(data, ResponseRecord) else "",
        features=features,
        embedding=scored.embedding,
        embedding_version=scored.embedding_version,
        conversation=inference_key(data.tenant, data.conversation_id)[:_MARK] if data.conversation_id else "",
        prompt=prompt_of(data),
    )
    return Event(
        id=f"{event.id}/signal",
        source=SOURCE,
        type=Signal.event_type,
        time=event.time,
        data=signal,
        subject=data.request_id,
        correlationid=event.correlationid,
        causationid=event.id,
        traceparent=traceparent,
        partitionkey=stream_key(data.tenant, data.model, side_of(data)),
    )


def _inference(event: Event) -> Inference:
    assert isinstance(event.data, RequestRecord | ResponseRecord)
    return event.data
