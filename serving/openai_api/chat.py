"""``POST /v1/chat/completions``: request model and response formats."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from serving.openai_api.errors import invalid
from serving.openai_api.request_model import MAX_TOKENS, RequestModel, SamplingRequest
from serving.openai_api.responses import Answer
from serving.replica.generation import Generation

__all__ = ["ChatAnswer", "ChatRequest"]

_DEFAULT_MAX_TOKENS = 1024


class TextPart(RequestModel):
    """A part of a message's content; only text is supported."""

    type: Literal["text"]
    text: str


class ChatMessage(RequestModel):
    """One message of a conversation."""

    ignored = frozenset({"name", "refusal", "annotations"})
    harmless: ClassVar[dict[str, tuple[Any, ...]]] = {
        "tool_calls": (None, []),
        "function_call": (None,),
        "audio": (None,),
    }

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1)]

    @property
    def text(self) -> str:
        """The content as one string; parts are joined by line breaks."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class ChatRequest(SamplingRequest):
    """The body of a chat completion."""

    ignored = SamplingRequest.ignored | {"parallel_tool_calls", "verbosity", "reasoning_effort", "top_logprobs"}
    harmless: ClassVar[dict[str, tuple[Any, ...]]] = {
        "n": (None, 1),
        "tools": (None, []),
        "tool_choice": (None, "none", "auto"),
        "functions": (None, []),
        "function_call": (None, "none", "auto"),
        "logprobs": (None, False),
        "logit_bias": (None, {}),
        "response_format": (None, {"type": "text"}),
        "modalities": (None, ["text"]),
        "audio": (None,),
        "prediction": (None,),
        "web_search_options": (None,),
    }

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=4096)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not any(message.text for message in self.messages):
            raise invalid("messages have no text; send at least one character.", param="messages")
        return self

    def generation(self) -> Generation:
        """Return the model's input; the role `developer` becomes `system`, its older name."""
        roles = {"developer": "system"}
        return Generation(
            messages=tuple((roles.get(message.role, message.role), message.text) for message in self.messages),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            default_max_tokens=_DEFAULT_MAX_TOKENS,
            **self.sampling(),
        )


class ChatAnswer(Answer):
    """Formats the response to a chat completion."""

    prefix = "chatcmpl"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def _content(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def _first(self) -> dict[str, Any]:
        return {"delta": {"role": "assistant", "content": ""}}

    def _delta(self, text: str) -> dict[str, Any]:
        return {"delta": {"content": text} if text else {}}
