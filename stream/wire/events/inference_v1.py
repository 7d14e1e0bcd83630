"""Version 1 of requests and end records, in which a message is plain text. Weir reads them, and writes only ``weir.inference.aborted.v1``."""

from typing import ClassVar, Self

import msgspec

from stream.wire.events.base import Count, EventData, Int64, Seconds, Share
from stream.wire.events.inference import (
    Choice,
    ErrorInfo,
    Message,
    RequestRecord,
    ResponseRecord,
    TextPart,
    ToolResponsePart,
    Usage,
)


class TextMessage(EventData, frozen=True, kw_only=True):
    """One message of a conversation, as the model received it."""

    role: str
    content: str

    def upgraded(self) -> Message:
        """Return the message with one part."""
        return Message.of_text(self.role, self.content)


class RequestRecordV1(EventData, frozen=True, kw_only=True):
    """An accepted request, written before inference starts. `owed` names the detectors of its expected verdicts."""

    event_type: ClassVar[str] = "weir.inference.request.v1"

    request_id: str
    tenant: str
    model: str
    model_version: str = ""
    principal: str = ""
    conversation_id: str = ""
    operation: str = "chat"
    stream: bool = False
    messages: tuple[TextMessage, ...] = ()
    prompt: str = ""
    parameters: dict[str, float | Int64 | str | list[str] | None] = {}
    owed: tuple[str, ...] = ()
    number: Count = 0

    def upgraded(self) -> RequestRecord:
        """Return the record in the current version."""
        fields = msgspec.structs.asdict(self)
        del fields["prompt"]
        messages = self.messages or ((TextMessage(role="user", content=self.prompt),) if self.prompt else ())
        return RequestRecord(**fields | {"messages": tuple(message.upgraded() for message in messages)})


class ResponseRecordV1(EventData, frozen=True, kw_only=True):
    """The end of an accepted request; `status` is ``complete``, ``error``, ``cancelled`` or ``aborted``.

    `context` is the last part of the prompt (``[detectors] context_characters``), for detectors that compare the answer with the prompt. The worker
    that scores the answer may not have read the request. `shadow_of` is equal to `shadow_of` of the request record.
    """

    event_type: ClassVar[str] = "weir.inference.response.v1"

    request_id: str
    tenant: str
    model: str
    status: str
    model_version: str = ""
    principal: str = ""
    conversation_id: str = ""
    operation: str = "chat"
    stream: bool = False
    text: str = ""
    context: tuple[TextMessage, ...] = ()
    finish_reason: str | None = None
    usage: Usage = Usage()
    latency_seconds: Seconds = 0.0
    time_to_first_token_seconds: Seconds | None = None
    error: ErrorInfo | None = None
    owed: tuple[str, ...] = ()
    number: Count = 0
    shadow_of: str = ""
    recorded: Share = 1.0

    @classmethod
    def downgraded(cls, record: ResponseRecord) -> Self:
        """Return `record` in this version: of its choices, only the text is kept; of its context, the text and the results of tools.

        If the choices have no text, the result has the text of the other parts: reasoning and tool arguments. So the
        end keeps its expected verdicts, and differs from a substitute end, which has none.
        """
        text = record.text or "\n".join(part.text for _, _, part in record.located_parts() if part.text)
        owed = record.owed if text else ()
        context = tuple(plain for message in record.context for plain in _plain(message))
        as_text = {"text": text, "context": context, "finish_reason": record.finish_reason, "owed": owed}
        fields = msgspec.structs.asdict(record) | as_text
        # Without the defaults: the encoder omits them only if they are the objects of this class.
        return cls(
            **{one.name: fields[one.name] for one in msgspec.structs.fields(cls) if fields[one.name] != one.default}
        )

    def upgraded(self) -> ResponseRecord:
        """Return the record in the current version."""
        fields = msgspec.structs.asdict(self)
        del fields["text"], fields["finish_reason"]
        parts = (TextPart(content=self.text),) if self.text else ()
        choices = (Choice(parts=parts, finish_reason=self.finish_reason),) if parts or self.finish_reason else ()
        context = tuple(message.upgraded() for message in self.context)
        return ResponseRecord(**fields | {"messages": choices, "context": context})


def _plain(message: Message) -> tuple[TextMessage, ...]:
    """Return `message` as messages of version 1: one for each tool result, then one for the text."""
    results = tuple(
        TextMessage(role="tool", content=part.response) for part in message.parts if isinstance(part, ToolResponsePart)
    )
    if results and not message.text:
        return results
    return (*results, TextMessage(role=message.role, content=message.text))
