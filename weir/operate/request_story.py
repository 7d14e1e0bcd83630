"""What became of one request, in the shape that ``weir show`` prints, and its text where that is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.structs import TopicPartition

from stream.errors import BrokerError
from stream.kafka.clients import BROKER_ERRORS, consumer_for
from stream.kafka.log_reader import record_at
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.request_story import ExplanationNote, GapNote, RecordLocation, RequestStory
from stream.wire import Message, RequestRecord, ResponseRecord, Span, WireError, decode
from weir.errors import NotFoundError

__all__ = ["RequestText", "Shown", "read_story", "read_text", "shown"]


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended; None of it is known while the answer is being made."""

    status: str
    finish_reason: str | None
    usage: dict[str, int]
    latency_seconds: float
    time_to_first_token_seconds: float | None


class ShownVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector said."""

    detector: str
    version: str
    side: str
    flagged: bool
    label: str
    score: float
    covered: float
    spans: tuple[dict[str, Any], ...]
    explanation: ExplanationNote | None = None


class RequestText(msgspec.Struct, frozen=True, kw_only=True):
    """Prompt and answer as they stand on the log; None where the record is gone or cannot be read."""

    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    answer: str | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``weir show --json`` prints; `gap` where the request was counted instead of delivered."""

    request_id: str
    trace_id: str
    tenant: str
    model: str
    end: End | None
    verdicts: list[ShownVerdict]
    alert_ids: list[str]
    retraining_ids: list[str]
    pending: list[str] = []
    gap: GapNote | None = None
    text: RequestText | None = None


def read_story(home: Path, request_id: str) -> RequestStory:
    """Return the request's story from the ledger.

    Raises
    ------
    NotFoundError
        The ledger does not know the request.
    LedgerAbsent
        There is no ledger in this home.
    """
    reader = LedgerReader(home / "ledger")
    story = reader.request(request_id)
    if story is None:
        raise NotFoundError(
            f"no request {request_id!r} in the ledger of {home}; ids are the x-request-id of the answers. A request of "
            f"the last seconds may be on its way, one older than the log's retention is gone, another stack has "
            f"another WEIR_HOME"
        )
    return story


def shown(story: RequestStory, text: RequestText | None = None) -> Shown:
    """Return `story` in the shape of interfaces.md."""
    events = story.events
    return Shown(
        request_id=story.request_id,
        trace_id=story.trace_id,
        tenant=events.tenant if events else "",
        model=events.model if events else "",
        end=_end(story),
        verdicts=_verdicts(story),
        alert_ids=[alert.alert_id for alert in story.alerts],
        retraining_ids=list(dict.fromkeys(record.retraining_id for record in story.retraining)),
        pending=_pending(story),
        gap=story.gap,
        text=text,
    )


def _end(story: RequestStory) -> End | None:
    end = story.events.end if story.events else None
    if end is None:
        return None
    usage = {
        "prompt_tokens": end.usage.prompt_tokens,
        "completion_tokens": end.usage.completion_tokens,
        "total_tokens": end.usage.total_tokens,
    }
    return End(
        status=end.status,
        finish_reason=end.finish_reason,
        usage=usage,
        latency_seconds=end.latency_seconds,
        time_to_first_token_seconds=end.time_to_first_token_seconds,
    )


def _verdicts(story: RequestStory) -> list[ShownVerdict]:
    notes = story.events.verdicts if story.events else ()
    return [
        ShownVerdict(
            detector=note.verdict.detector,
            version=note.verdict.version,
            side=note.verdict.side,
            flagged=note.verdict.flagged,
            label=note.verdict.label,
            score=note.verdict.score,
            covered=note.verdict.covered,
            spans=tuple(map(_span, note.verdict.spans)),
            explanation=note.explanation,
        )
        for note in notes
    ]


def _span(span: Span) -> dict[str, Any]:
    """Spell a span out: on the wire a score of 1 is left away."""
    return {"start": span.start, "end": span.end, "type": span.type, "score": span.score}


def _pending(story: RequestStory) -> list[str]:
    """Return ``side/detector`` of every verdict that is owed and not there."""
    if story.events is None:
        return []
    settled = {(note.event_id, note.verdict.detector) for note in story.events.verdicts}
    return [
        f"{place.side}/{detector}"
        for place in story.events.locations
        for detector in place.owed
        if (place.event_id, detector) not in settled
    ]


async def read_text(options: Mapping[str, Any], story: RequestStory) -> RequestText:
    """Read the request's records at their offsets.

    Raises
    ------
    BrokerError
        Kafka does not answer, or does not hand the records out in time.
    """
    request: RequestRecord | None = None
    response: ResponseRecord | None = None
    try:
        async with consumer_for(options) as consumer:
            for place in story.events.locations if story.events else ():
                data = await _record_at(consumer, place)
                if isinstance(data, RequestRecord):
                    request = data
                elif isinstance(data, ResponseRecord):
                    response = data
    except BROKER_ERRORS as error:
        raise BrokerError(
            f"the text stays unread: Kafka at {options['bootstrap_servers']} does not answer ({type(error).__name__}); "
            "see `weir status`"
        ) from error
    return RequestText(
        messages=request.messages if request else (),
        prompt=request.text() if request else None,
        answer=response.text if response else None,
    )


async def _record_at(consumer: Any, place: RecordLocation) -> object:
    """Return the data of the record at `place`, or None where the log no longer has it."""
    record = await record_at(consumer, TopicPartition(place.topic, place.partition), place.offset)
    try:
        return decode(record.value, record.headers).data if record is not None else None
    except WireError:
        return None
