"""``POST /v1/chat/completions``: the request body.

Reference: https://platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from serving.backend import Feature
from serving.openai_api.errors import invalid
from serving.openai_api.request_model import MAX_TOKENS, Name, RequestModel, SamplingRequest

_MAX_MESSAGES = 4096
_MAX_PARTS = 1024
_MAX_TOOLS = 128
_MAX_TOP_LOGPROBS = 20
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class TextPart(RequestModel):
    """A part of a message's content that is text."""

    ignored = frozenset({"prompt_cache_breakpoint"})

    type: Literal["text"]
    text: str


class ImageUrl(RequestModel):
    """The address of an image; a data URL contains the image."""

    url: Annotated[str, Field(pattern=r"^(https?://|data:image/)")]
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(RequestModel):
    """A part of a message's content that is an image."""

    type: Literal["image_url"]
    image_url: ImageUrl


ContentPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def _refusal_part_as_text(part: Any) -> Any:
    is_refusal = isinstance(part, dict) and part.keys() == {"type", "refusal"} and part["type"] == "refusal"
    return {"type": "text", "text": part["refusal"]} if is_refusal else part


class CalledFunction(RequestModel):
    """The function of a tool call; `arguments` is the JSON text that the model wrote."""

    ignored = frozenset({"parsed_arguments"})

    name: FunctionName
    arguments: str


class ToolCall(RequestModel):
    """A tool call that the model made in an earlier turn."""

    ignored = frozenset({"index"})

    id: Name
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(RequestModel):
    """One message of a conversation.

    OpenAI's clients add `parsed`, and `parsed_arguments` and `index` of a tool call, to an answer that a program sends back.
    """

    ignored = frozenset({"refusal", "annotations", "parsed"})

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[ContentPart], Field(min_length=1, max_length=_MAX_PARTS, fail_fast=True)] | None = (
        None
    )
    name: Name | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=_MAX_TOOLS)] | None = None
    function_call: CalledFunction | None = None
    tool_call_id: Name | None = None
    reasoning_content: str | None = None
    audio: None = None

    @model_validator(mode="before")
    @classmethod
    def _refusal_as_text(cls, data: Any) -> Any:
        """Take the refusal of an earlier turn, which a client sends back, as the text of that turn."""
        if not isinstance(data, dict) or data.get("role") != "assistant":
            return data
        content, refusal = data.get("content"), data.get("refusal")
        if not content and isinstance(refusal, str) and refusal:
            return data | {"content": refusal}
        if isinstance(content, list):
            return data | {"content": [_refusal_part_as_text(part) for part in content]}
        return data

    def check(self, place: str) -> None:
        """Raise ApiError if the message, which is at `place` in the request, has no content, or no call that it answers."""
        calls = self.role == "assistant" and (self.tool_calls or self.function_call)
        if self.content is None and not calls:
            raise invalid(f"{place}.content is missing; send a string or a list of parts.", param=f"{place}.content")
        if self.role == "tool" and self.tool_call_id is None:
            raise invalid(f"{place}.tool_call_id is missing; send the id of the call.", param=f"{place}.tool_call_id")

    @property
    def first_image(self) -> int | None:
        """The position of the first part of the content that is an image, or None."""
        parts = self.content if isinstance(self.content, list) else []
        return next((position for position, part in enumerate(parts) if isinstance(part, ImagePart)), None)

    @property
    def is_empty(self) -> bool:
        """Whether the message has neither text nor an image nor a tool call."""
        if isinstance(self.content, list):
            return not any(isinstance(part, ImagePart) or part.text for part in self.content)
        return not (self.content or self.tool_calls or self.function_call)


class FunctionDefinition(RequestModel):
    """A function that the model may call; `parameters` is the JSON Schema of its arguments."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(RequestModel):
    """A tool that the model may call."""

    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(RequestModel):
    """The name of a function."""

    name: FunctionName


class NamedTool(RequestModel):
    """The tool that the model must call."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(RequestModel):
    """The JSON Schema of the answer."""

    name: Name
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextFormat(RequestModel):
    """Plain text, the default."""

    type: Literal["text"]


class JsonObjectFormat(RequestModel):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(RequestModel):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class ChatRequest(SamplingRequest):
    """The body of a chat completion."""

    ignored = SamplingRequest.ignored | {"verbosity", "reasoning_effort"}
    harmless: ClassVar[dict[str, tuple[Any, ...]]] = {
        "functions": (None, []),
        "function_call": (None, "none", "auto"),
        "modalities": (None, ["text"]),
        "audio": (None,),
        "prediction": (None,),
        "web_search_options": (None,),
    }

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MAX_MESSAGES, fail_fast=True)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    tools: Annotated[list[Tool], Field(max_length=_MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")] | None = (
        None
    )
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=_MAX_TOP_LOGPROBS)] | None = None

    @model_validator(mode="after")
    def _consistent_chat(self) -> Self:
        for position, message in enumerate(self.messages):
            message.check(f"messages.{position}")
        if all(message.is_empty for message in self.messages):
            raise invalid("messages have no text; send at least one character.", param="messages")
        if self.top_logprobs and not self.logprobs:
            raise invalid(
                "top_logprobs requires logprobs: true; set it, or leave top_logprobs out.", param="top_logprobs"
            )
        self._check_tools()
        return self

    def _check_tools(self) -> None:
        names = [tool.function.name for tool in self.tools or ()]
        if len(set(names)) < len(names):
            raise invalid("tools has two functions with the same name; give each its own.", param="tools")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise invalid("tool_choice names a function that is not in tools; add it there.", param="tool_choice")
        if self.tool_choice == "required" and not names:
            raise invalid("tool_choice is required, but tools is empty; send at least one tool.", param="tool_choice")

    def features(self) -> Iterator[tuple[str, Feature]]:
        """Yield the fields that not every engine supports, each with the feature that the engine needs."""
        yield from super().features()
        decides = bool(self.tools) and (self.tool_choice is None or self.tool_choice == "auto")
        if decides:
            yield "tools", "tools"
        if self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool):
            yield "tool_choice", "json_schema"
        if self.response_format is not None and self.response_format.type != "text":
            # An engine that follows the schema from the first token never calls a tool.
            yield "response_format", "schema_or_tools" if decides else "json_schema"
        if self.logprobs:
            yield "logprobs", "logprobs"
        if self.top_logprobs:
            yield "top_logprobs", "top_logprobs"
        for position, message in enumerate(self.messages):
            if (part := message.first_image) is not None:
                yield f"messages.{position}.content.{part}.image_url", "images"

    def body(self) -> dict[str, Any]:
        """Return the request as JSON, without fields that the client did not send or that have no effect."""
        return self.model_dump(exclude_none=True, by_alias=True)
