"""Requests and their end records: the only events with text."""

from typing import ClassVar

from stream.wire.events.base import Count, EventData, Int64, Seconds

__all__ = ["ABORTED", "ErrorInfo", "Message", "RequestRecord", "ResponseRecord", "Usage"]


class Message(EventData, frozen=True, kw_only=True):
    """One message of a conversation, as the model received it."""

    role: str
    content: str


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


class RequestRecord(EventData, frozen=True, kw_only=True):
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
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    parameters: dict[str, float | Int64 | str | list[str] | None] = {}
    owed: tuple[str, ...] = ()
    number: Count = 0

    def text(self) -> str:
        """Return the text for input detectors; spans are offsets into this text."""
        if self.messages:
            return "\n".join(message.content for message in self.messages)
        return self.prompt


#: Status of the end of an interrupted request. An end record without expected verdicts is a substitute, written by the
#: process that took over a dead source's spool.
ABORTED = "aborted"


class ResponseRecord(EventData, frozen=True, kw_only=True):
    """The end of an accepted request; `status` is ``complete``, ``error``, ``cancelled`` or ``aborted``.

    `context` is the last part of the prompt (``[detectors] context_characters``), for detectors that compare the answer
    with the prompt. The worker that scores the answer may not have read the request.
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
    context: tuple[Message, ...] = ()
    finish_reason: str | None = None
    usage: Usage = Usage()
    latency_seconds: Seconds = 0.0
    time_to_first_token_seconds: Seconds | None = None
    error: ErrorInfo | None = None
    owed: tuple[str, ...] = ()
    number: Count = 0
