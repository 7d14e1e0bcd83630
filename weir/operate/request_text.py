"""Read prompts and answers from Kafka at the offsets that the ledger stores; the caller logs the access first."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer

from stream.content import content_at
from stream.errors import BrokerError, kafka_problem
from stream.kafka.clients import BROKER_ERRORS, consumer_for
from stream.ledger.queries.request_story import RequestStory
from stream.wire import Choice, CorrectionRecord, Message, RequestRecord, ResponseRecord, Verdict, text_at

_CONTEXT = "/context/"


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a span whose `part` is in the `context` of the answer's record: a source, or the answer that was compared."""

    detector: str
    type: str
    part: str
    text: str


class RequestText(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of a request and the choices of its answer, from Kafka.

    `prompt` and `answer` are their text parts, joined; None if the record has expired or cannot be decoded. `corrections`
    are people's better answers and comments, oldest first. `quotes` are the texts of spans that are in neither the prompt nor the answer.
    """

    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    choices: tuple[Choice, ...] = ()
    answer: str | None = None
    corrections: tuple[CorrectionRecord, ...] = ()
    quotes: tuple[Quote, ...] = ()

    def joined(self, side: str) -> str | None:
        """Return the prompt (side ``input``) or the answer."""
        return self.prompt if side == "input" else self.answer

    def content(self, side: str) -> tuple[Message, ...] | tuple[Choice, ...]:
        """Return the messages (side ``input``) or the choices."""
        return self.messages if side == "input" else self.choices

    def text_of(self, verdict: Verdict) -> str | None:
        """Return the text that the offsets of a verdict refer to, or None if the record has expired."""
        joined = self.joined(verdict.side)
        return joined if joined is None or not verdict.part else text_at(self.content(verdict.side), verdict.part)


def quotes_of(data: ResponseRecord, verdicts: Sequence[Verdict]) -> tuple[Quote, ...]:
    """Return the texts of the spans of `verdicts` that are in the context of an answer's record, in order."""
    parts = {
        f"{_CONTEXT}{row}/parts/{column}": part.text
        for row, message in enumerate(data.context)
        for column, part in enumerate(message.parts)
    }
    return tuple(
        Quote(detector=verdict.detector, type=span.type, part=span.part, text=parts[span.part][span.start : span.end])
        for verdict in verdicts
        for span in verdict.spans
        if span.part in parts
    )


async def read_text(options: Mapping[str, Any], story: RequestStory) -> RequestText:
    """Read prompt and answer of one request; raises BrokerError."""
    (text,) = await read_texts(options, [story])
    return text


async def read_texts(options: Mapping[str, Any], stories: Sequence[RequestStory]) -> list[RequestText]:
    """Read prompt and answer of each request; raises BrokerError."""
    try:
        async with consumer_for(options) as consumer:
            return [await _text(consumer, story) for story in stories]
    except BROKER_ERRORS as error:
        raise BrokerError(
            f"the text cannot be read: {kafka_problem(options['bootstrap_servers'], error)}; see `weir status`"
        ) from error


async def _text(consumer: AIOKafkaConsumer, story: RequestStory) -> RequestText:
    text = RequestText()
    for location in story.events.locations if story.events else ():
        assert story.events is not None
        data = await content_at(consumer, location.topic, location.partition, location.offset, story.request_id)
        if isinstance(data, RequestRecord):
            text = msgspec.structs.replace(text, messages=data.messages, prompt=data.text)
        elif isinstance(data, ResponseRecord):
            about = [note.verdict for note in story.events.verdicts if note.event_id == location.event_id]
            text = msgspec.structs.replace(text, choices=data.messages, answer=data.text, quotes=quotes_of(data, about))
    corrections = [
        await content_at(consumer, note.topic, note.partition, note.offset, story.request_id)
        for note in story.judgments.corrections
    ]
    return msgspec.structs.replace(
        text, corrections=tuple(data for data in corrections if isinstance(data, CorrectionRecord))
    )
