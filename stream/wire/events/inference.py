"""Requests and how they ended: the only events that hold text."""

from typing import ClassVar

from stream.wire.events.base import Count, EventData, Int64, Seconds

__all__ = ["ABORTED", "ErrorInfo", "Message", "RequestRecord", "ResponseRecord", "Usage"]


class Message(EventData, frozen=True, kw_only=True):
    """One message of a conversation, as the model was given it."""

    role: str
    content: str


class Usage(EventData, frozen=True, kw_only=True):
    """Tokens, counted by the engine."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class ErrorInfo(EventData, frozen=True, kw_only=True):
    """Why a request ended without success: a class and a status, never text of the request."""

    kind: str
    status: Count = 500


class RequestRecord(EventData, frozen=True, kw_only=True):
    """A request that was accepted; written before inference began."""

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
        """Return what the model was given, as input detectors see it; spans are offsets into this string."""
        if self.messages:
            return "\n".join(message.content for message in self.messages)
        return self.prompt


#: Status of an end whose request was cut off; one that owes nothing was written by whoever adopted the spool of a source that died.
ABORTED = "aborted"


class ResponseRecord(EventData, frozen=True, kw_only=True):
    """How an accepted request ended; `status` is ``complete``, ``error``, ``cancelled`` or ``aborted``.

    `context` is the end of the prompt, where detectors compare the answer with it (``[detectors] context_characters``): a record is
    scored alone, since its request may have been read by another worker long ago.
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
