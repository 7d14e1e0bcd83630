"""Requests, end records and corrections: the only events with content. Messages consist of parts, named as in OpenTelemetry's GenAI conventions.

Specification: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-events/
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec

from stream.wire.events.base import Count, EventData, Int64, Seconds, Share

#: Finish reasons that spans and tables may contain: other servers could send text of an answer as a reason.
SHOWN_REASON = re.compile(r"[A-Za-z_]{1,32}")
#: The name of a message that is no message of the client, but a text that the client sent beside the messages.
ADDED = "weir.added"
_FinishReason = Annotated[str | None, msgspec.Meta(examples=["stop", "length", "tool_calls", "content_filter"])]
_Operation = Annotated[str, msgspec.Meta(examples=["chat", "text_completion", "embeddings", "responses"])]


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Base of the parts of a message."""

    @property
    def text(self) -> str:
        """The text that detectors read; spans are offsets into this text. "" for a part without text."""
        return ""


class TextPart(_Part, frozen=True, kw_only=True, tag="text"):
    """Text of the message."""

    content: str

    @property
    def text(self) -> str:
        """The text."""
        return self.content


class ReasoningPart(_Part, frozen=True, kw_only=True, tag="reasoning"):
    """The model's reasoning before its answer."""

    content: str

    @property
    def text(self) -> str:
        """The reasoning."""
        return self.content


class ToolCallPart(_Part, frozen=True, kw_only=True, tag="tool_call"):
    """A call of a tool; `arguments` is the text that the model wrote, usually a JSON object."""

    name: str
    arguments: str = ""
    id: str = ""

    @property
    def text(self) -> str:
        """The arguments."""
        return self.arguments


class ToolResponsePart(_Part, frozen=True, kw_only=True, tag="tool_call_response"):
    """The result of a tool; `id` is the id of the call."""

    response: str
    id: str = ""

    @property
    def text(self) -> str:
        """The result."""
        return self.response


class UriPart(_Part, frozen=True, kw_only=True, tag="uri"):
    """Content at a URI; `digest` is the SHA-256 of the URI, which is not recorded."""

    modality: str
    digest: str
    mime_type: str = ""


class BlobPart(_Part, frozen=True, kw_only=True, tag="blob"):
    """Inline content, such as an image; `digest` is the SHA-256 of its `size` bytes, which are not recorded."""

    modality: str
    digest: str
    size: Count
    mime_type: str = ""


Part = TextPart | ReasoningPart | ToolCallPart | ToolResponsePart | UriPart | BlobPart


class LocatedPart(NamedTuple):
    """A part with the role of its message; `pointer` is its JSON pointer (RFC 6901) in the record, such as ``/messages/3/parts/0``."""

    pointer: str
    role: str
    part: Part


class _WithParts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parts of one author."""

    role: str
    parts: tuple[Part, ...] = ()

    @property
    def text(self) -> str:
        """The text parts, joined by line breaks; without reasoning, tool calls and tool results."""
        return joined_text((self,))


class Message(_WithParts, frozen=True, kw_only=True):
    """One message of a conversation, as the model received it; `name` is the author's name if the client sent one.

    The name ``weir.added`` marks a text that the client sent beside the messages, such as a document or an argument of the chat template.
    """

    name: str = ""

    @classmethod
    def of_text(cls, role: str, content: str) -> "Message":
        """Return a message with one text part."""
        return cls(role=role, parts=(TextPart(content=content),))


class Choice(_WithParts, frozen=True, kw_only=True):
    """One of the model's alternative answers to a request."""

    role: str = "assistant"
    finish_reason: _FinishReason = None


def joined_text(messages: Iterable[_WithParts]) -> str:
    """Return the text parts of `messages`, joined by line breaks: the text of a verdict without a part."""
    parts = (part for message in messages for part in message.parts)
    return "\n".join(part.content for part in parts if isinstance(part, TextPart))


def text_at(messages: tuple[_WithParts, ...], pointer: str) -> str:
    """Return the text of the part at `pointer`, or the joined text if `pointer` is "".

    Raises KeyError if `messages` have no such part.
    """
    if not pointer:
        return joined_text(messages)
    return {pointer: part.text for pointer, _, part in _located(messages)}[pointer]


def _located(messages: tuple[_WithParts, ...]) -> Iterator[LocatedPart]:
    for row, message in enumerate(messages):
        for column, part in enumerate(message.parts):
            yield LocatedPart(f"/messages/{row}/parts/{column}", message.role, part)


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool that the model may call; `parameters` is the JSON Schema of its arguments."""

    type: str = "function"
    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class DeclaredTool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool of a request, in the record of its answer; `parameters` is None if the answer does not call the tool, or if the schema is too large."""

    type: str = "function"
    name: str
    parameters: dict[str, Any] | None = None


class Usage(EventData, frozen=True, kw_only=True):
    """Token counts of the engine."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0

    @property
    def total_tokens(self) -> int:
        """The sum of prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens


class ErrorInfo(EventData, frozen=True, kw_only=True):
    """The reason for a failed request: an error class and a status, never the request's text."""

    kind: str
    status: Count = 500


class GuardStop(EventData, frozen=True, kw_only=True):
    """The guard's finding in an answer; `stopped` is false if the guard only observed.

    `position_tokens` is the number of the answer's tokens up to the end of the found text. `exposed_tokens` is the
    number of tokens from the start of the found text on that the client received.
    """

    detector: str
    position_tokens: Count
    exposed_tokens: Count
    stopped: bool = True


class RequestRecord(EventData, frozen=True, kw_only=True):
    """An accepted request, written before inference starts. `owed` names the detectors of its expected verdicts.

    The prompt of a plain completion (operation ``text_completion``) is one message with the role ``user``. `training`
    is false if the client does not want the request in a dataset. `shadow_of` is the id of the user's request if this
    request is a copy for a challenger or for the detector ``consistency``, else "". No user receives the answer to a copy.
    `recorded` is the share of the text's characters that the record contains: less than 1 if the whole text is too large for Kafka.
    `turns` are short keyed digests, only of a chat without a conversation id: of its messages, and of the earlier requests
    that it repeats, newest first. The key is the client's API key, which no record contains.
    """

    event_type: ClassVar[str] = "weir.inference.request.v2"

    request_id: str
    tenant: str
    model: str
    model_version: str = ""
    principal: str = ""
    conversation_id: str = ""
    operation: _Operation = "chat"
    stream: bool = False
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    parameters: dict[str, float | Int64 | str | list[str] | None] = {}
    owed: tuple[str, ...] = ()
    number: Count = 0
    training: bool = True
    shadow_of: str = ""
    recorded: Share = 1.0
    turns: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text parts of all messages, joined by line breaks; without reasoning, tool calls and tool results."""
        return joined_text(self.messages)

    def located_parts(self) -> Iterator[LocatedPart]:
        """Yield all parts of all messages, in order."""
        return _located(self.messages)


#: Status of the end of an interrupted request. An end record without expected verdicts is a substitute, written by the
#: process that took over a dead source's spool.
ABORTED = "aborted"


class ResponseRecord(EventData, frozen=True, kw_only=True):
    """The end of an accepted request; `status` is ``complete``, ``error``, ``cancelled`` or ``aborted``.

    `messages` are all choices, in order. `context` is the last part of the prompt (``[detectors] context_characters``),
    for detectors that compare the answer with the prompt: the worker that scores the answer may not have read the
    request. `context` also has the newest tool results, at most 16 KiB of text, if a detector that reads them is
    expected (``leak``, ``groundedness``). If ``consistency`` is expected, the last message of `context` is the answer
    that the user received, and `messages` are further answers to the same request. `instructions` are the newest
    messages of the operator (roles ``system`` and ``developer``), at most 16 KiB of text; they are present only if the
    detector ``leak`` is expected. `tools` are the tools of the request if the answer has tool calls and the detector
    ``tools`` is expected; None if they are unknown or too large. `shadow_of` and `turns` are those of the request
    record. `recorded` is the share of the text's characters that the record contains: less than 1 if the whole text is
    too large for Kafka.
    """

    event_type: ClassVar[str] = "weir.inference.response.v2"

    request_id: str
    tenant: str
    model: str
    status: Annotated[str, msgspec.Meta(examples=["complete", "error", "cancelled", ABORTED])]
    model_version: str = ""
    principal: str = ""
    conversation_id: str = ""
    operation: _Operation = "chat"
    stream: bool = False
    messages: tuple[Choice, ...] = ()
    context: tuple[Message, ...] = ()
    instructions: tuple[Message, ...] = ()
    tools: tuple[DeclaredTool, ...] | None = None
    usage: Usage = Usage()
    latency_seconds: Seconds = 0.0
    time_to_first_token_seconds: Seconds | None = None
    error: ErrorInfo | None = None
    guard: GuardStop | None = None
    owed: tuple[str, ...] = ()
    number: Count = 0
    shadow_of: str = ""
    recorded: Share = 1.0
    turns: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text parts of all choices, joined by line breaks; without reasoning and tool calls."""
        return joined_text(self.messages)

    @property
    def finish_reason(self) -> str | None:
        """The finish reason of the first choice."""
        return self.messages[0].finish_reason if self.messages else None

    def located_parts(self) -> Iterator[LocatedPart]:
        """Yield all parts of all choices, in order."""
        return _located(self.messages)


class CorrectionRecord(EventData, frozen=True, kw_only=True):
    """A person's correction of an answer: a better `answer`, a `comment`, or both; `at` is its time.

    `approved` states that the person approves the answer as it is.
    """

    event_type: ClassVar[str] = "weir.correction.v1"

    request_id: str
    tenant: str
    at: Seconds
    principal: str = ""
    answer: str = ""
    comment: str = ""
    approved: bool = False
    number: Count = 0
