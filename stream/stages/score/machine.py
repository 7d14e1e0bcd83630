"""The score stage without Kafka: an event's expected detectors, the item that they score, and their verdicts."""

from collections.abc import Callable, Mapping

import msgspec

from detectors.base import ERROR, Turn
from stream.stages.score.event_parts import EventScore, Item, ItemPart
from stream.stages.score.model_pool import Outcome
from stream.stages.score.model_process import Scored
from stream.wire import (
    Event,
    Message,
    RequestRecord,
    ResponseRecord,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    Verdict,
)

Inference = RequestRecord | ResponseRecord


def inference_of(event: Event) -> Inference:
    """Return the request or end record in `event`."""
    assert isinstance(event.data, RequestRecord | ResponseRecord)
    return event.data


def side_of(data: Inference) -> str:
    """Return ``input`` for a request, ``output`` for an end record."""
    return "input" if isinstance(data, RequestRecord) else "output"


def expected_detectors(data: Inference) -> tuple[str, ...]:
    """Return the detectors of the expected verdicts, without duplicates."""
    return tuple(dict.fromkeys(data.owed))


def item_of(
    data: Inference, detectors: tuple[str, ...] | None = None, *, embed: Mapping[str, str] | None = None
) -> Item:
    """Return the item that a model process scores; `detectors` defaults to the expected detectors, `embed` to no text."""
    context = data.context if isinstance(data, ResponseRecord) else ()
    instructions = data.instructions if isinstance(data, ResponseRecord) else ()
    # The last call of a shortened record can be cut, which is no error of the model.
    tools = data.tools if isinstance(data, ResponseRecord) and data.recorded == 1.0 else None
    return Item(
        parts=tuple(
            ItemPart(
                pointer=pointer,
                role=role,
                kind=str(part.__struct_config__.tag),
                text=part.text,
                name=part.name if isinstance(part, ToolCallPart) else "",
                id=part.id if isinstance(part, ToolCallPart | ToolResponsePart) else "",
            )
            for pointer, role, part in data.located_parts()
            if part.text or isinstance(part, TextPart | ToolCallPart)
        ),
        side=side_of(data),
        detectors=expected_detectors(data) if detectors is None else detectors,
        context=_turns(context, "/context"),
        instructions=_turns(instructions, "/instructions"),
        tools=None if tools is None else msgspec.json.encode(tools),
        embed=dict(embed or {}),
    )


def _turns(messages: tuple[Message, ...], field: str) -> tuple[Turn, ...]:
    """Return a turn for each part with text of the record's `field`; the role of a tool result is ``tool``."""
    return tuple(
        Turn(
            role="tool" if isinstance(part, ToolResponsePart) else message.role,
            content=part.text,
            pointer=f"{field}/{row}/parts/{column}",
        )
        for row, message in enumerate(messages)
        for column, part in enumerate(message.parts)
        if part.text
    )


def verdicts(event: Event, outcome: Outcome, version_of: Callable[[str], str]) -> list[Verdict]:
    """Return a verdict for each expected detector; `version_of(name)` is used for a detector that returned no score."""
    scored = outcome if isinstance(outcome, Scored) else Scored()
    return [
        verdict(event, name, scored.versions.get(name) or version_of(name), scored.scores.get(name))
        for name in expected_detectors(inference_of(event))
    ]


def verdict(event: Event, detector: str, version: str, score: EventScore | None) -> Verdict:
    """Return one detector's verdict.

    Its label is ``error`` if there is no score. Its label is also ``error`` if the record contains only a part of the
    text, or the detector read only a part, and the detector flagged nothing.
    """
    data = inference_of(event)
    score = score or EventScore(label=ERROR, covered=0.0)
    covered = score.covered * data.recorded
    partial = covered < 1.0 and not score.flagged
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
        covered=covered,
        part=score.part,
        spans=score.spans,
        model_version=data.model_version,
    )
