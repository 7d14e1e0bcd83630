"""The score stage without Kafka: an event's expected detectors, the item that they score, and their verdicts."""

from collections.abc import Callable

from detectors.base import ERROR, Score, Turn
from stream.stages.score.model_pool import Outcome
from stream.stages.score.model_process import Item, Scored
from stream.wire import Event, RequestRecord, ResponseRecord, Span, Verdict

__all__ = [
    "MAX_SPANS",
    "Inference",
    "expected_detectors",
    "inference_of",
    "item_of",
    "side_of",
    "text_of",
    "verdict",
    "verdicts",
]

#: A verdict stays below the broker's record limit.
MAX_SPANS = 2_000

Inference = RequestRecord | ResponseRecord


def inference_of(event: Event) -> Inference:
    """Return the request or end record in `event`."""
    assert isinstance(event.data, RequestRecord | ResponseRecord)
    return event.data


def side_of(data: Inference) -> str:
    """Return ``input`` for a request, ``output`` for an end record."""
    return "input" if isinstance(data, RequestRecord) else "output"


def text_of(data: Inference) -> str:
    """Return the text that the detectors read: the prompt of a request, or the answer of an end record."""
    return data.text


def expected_detectors(data: Inference) -> tuple[str, ...]:
    """Return the detectors of the expected verdicts, without duplicates; () for an end record without text."""
    if isinstance(data, ResponseRecord) and not data.text:
        return ()
    return tuple(dict.fromkeys(data.owed))


def item_of(data: Inference, detectors: tuple[str, ...] | None = None, *, embed: bool = False) -> Item:
    """Return the item that a model process scores; `detectors` defaults to the expected detectors."""
    context = data.context if isinstance(data, ResponseRecord) else ()
    return Item(
        text=text_of(data),
        detectors=expected_detectors(data) if detectors is None else detectors,
        context=tuple(Turn(role=message.role, content=message.text) for message in context),
        embed=embed,
    )


def verdicts(event: Event, outcome: Outcome, version_of: Callable[[str], str]) -> list[Verdict]:
    """Return a verdict for each expected detector; `version_of(name)` is used for a detector that returned no score."""
    scored = outcome if isinstance(outcome, Scored) else Scored()
    return [
        verdict(event, name, scored.versions.get(name) or version_of(name), scored.scores.get(name))
        for name in expected_detectors(inference_of(event))
    ]


def verdict(event: Event, detector: str, version: str, score: Score | None) -> Verdict:
    """Return one detector's verdict.

    Its label is ``error`` if there is no score, or if the detector read only a part of the text and did not flag it.
    """
    data = inference_of(event)
    score = score or Score(score=0.0, label=ERROR, flagged=False, covered=0.0)
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
