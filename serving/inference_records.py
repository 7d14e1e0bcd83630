"""The records of one inference, and the attributes of its span. Only the records contain prompts and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec

from serving.backend import ModelInfo, ModelRequest, Operation
from serving.openai_api.parts import messages_from, tools_from
from stream.wire import (
    MAX_INT64,
    MIN_INT64,
    OWN_TENANT,
    Choice,
    DeclaredTool,
    ErrorInfo,
    GuardStop,
    Message,
    RequestRecord,
    ResponseRecord,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    Usage,
    semconv,
)

__all__ = [
    "EndStatus",
    "ExpectedVerdicts",
    "InferenceRequest",
    "context_of",
    "declared_tools",
    "owed_detectors",
    "recorded_messages",
    "request_attributes",
    "request_record",
    "response_record",
]

EndStatus = Literal["complete", "error", "cancelled", "aborted"]

#: Detectors for the answers to Weir's own prompts (sentinels); the prompts never change and need no detector.
_OWN_DETECTORS = frozenset({"refusal"})
#: The detector that reads tool calls instead of text, and the most characters of schemas and names that an answer's record contains for it.
_TOOLS = "tools"
_MAX_DECLARED = 65_536
_PARAMETERS = ("max_tokens", "temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")


@dataclass(frozen=True, kw_only=True)
class InferenceRequest:
    """One inference; `model` is the client's name for the model."""

    tenant: str
    principal: str
    conversation: str = ""
    model: str
    info: ModelInfo
    request: ModelRequest

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """The messages of the request, for its records."""
        return recorded_messages(self.request)

    @property
    def request_id(self) -> str:
        """The id of the request."""
        return self.request.request_id

    @property
    def operation(self) -> Operation:
        """The operation."""
        return self.request.operation


class ExpectedVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """The detectors that must return a verdict on each prompt (`input`) and on each answer (`output`).

    The record of an answer contains up to `context_characters` of the prompt, for detectors that compare answer and prompt.
    """

    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    context_characters: int = 0


#: The field of a request body that contains the prompt.
_PROMPTS: dict[Operation, str] = {
    "chat": "messages",
    "text_completion": "prompt",
    "embeddings": "input",
    "responses": "input",
}


def recorded_messages(request: ModelRequest) -> tuple[Message, ...]:
    """Return the messages of a request; the prompt of a plain completion, or an input of embeddings, is a message of the user.

    Token ids are not recorded. The instructions of the Responses API are a system message.
    """
    messages = messages_from(request.body.get(_PROMPTS[request.operation]))
    instructions = request.body.get("instructions")
    if request.operation == "responses" and isinstance(instructions, str) and instructions:
        return (Message.of_text("system", instructions), *messages)
    return messages


def request_record(request: InferenceRequest, expected: ExpectedVerdicts) -> RequestRecord:
    """Return the record of a request; if the request has no text and no tool call, no verdict is expected."""
    body, messages = request.request.body, request.messages
    return RequestRecord(
        **_common(request),
        messages=messages,
        tools=_tools(body),
        parameters=_parameters(body) | _token_ids(request.request),
        owed=owed_detectors(_detectors(request, expected.input), messages),
        training=_training(body),
    )


def response_record(  # noqa: PLR0913 - the fields of an end
    request: InferenceRequest,
    expected: ExpectedVerdicts,
    *,
    status: EndStatus,
    error: ErrorInfo | None,
    choices: tuple[Choice, ...],
    usage: Usage,
    latency_seconds: float,
    first_token_seconds: float | None,
    guard: GuardStop | None = None,
) -> ResponseRecord:
    """Return the record of an inference's end; without an answer text, the prompt is omitted and only verdicts on tool calls are expected."""
    detectors = _detectors(request, expected.output)
    owed = owed_detectors(detectors, choices, calls_complete=status == "complete")
    return ResponseRecord(
        **_common(request),
        status=status,
        messages=choices,
        context=context_of(request.messages, expected.context_characters) if owed else (),
        tools=declared_tools(_tools(request.request.body), choices) if _TOOLS in owed else None,
        usage=usage,
        latency_seconds=latency_seconds,
        time_to_first_token_seconds=first_token_seconds,
        error=error,
        guard=guard,
        owed=owed,
    )


def owed_detectors(
    names: tuple[str, ...], messages: Sequence[Message | Choice], *, calls_complete: bool = True
) -> tuple[str, ...]:
    """Return the detectors in `names` that have something to read in `messages`: a text, or for ``tools`` a complete tool call."""
    parts = [part for message in messages for part in message.parts]
    has_text = any(part.text for part in parts)
    has_calls = calls_complete and _TOOLS in names and any(isinstance(part, ToolCallPart) for part in parts)
    return tuple(name for name in names if (has_calls if name == _TOOLS else has_text))


def declared_tools(tools: Sequence[ToolDefinition], choices: Sequence[Choice]) -> tuple[DeclaredTool, ...] | None:
    """Return the declared tools, with the JSON Schemas of those that `choices` call, at most 64 KiB in total.

    A schema that does not fit is omitted; if the names do not fit, the result is None.
    """
    called = {part.name for choice in choices for part in choice.parts if isinstance(part, ToolCallPart)}
    left = _MAX_DECLARED - sum(len(tool.name) + len(tool.type) for tool in tools)
    if left < 0:
        return None
    found: list[DeclaredTool] = []
    for tool in tools:
        schema = tool.parameters if tool.name in called else None
        size = 0 if schema is None else len(msgspec.json.encode(schema))
        fits = size <= left
        left -= size if fits else 0
        found.append(DeclaredTool(type=tool.type, name=tool.name, parameters=schema if fits else None))
    return tuple(found)


def _tools(body: dict[str, Any]) -> tuple[ToolDefinition, ...]:
    return tools_from(body.get("tools") or body.get("functions"))


def _common(request: InferenceRequest) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "tenant": request.tenant,
        "principal": request.principal,
        "conversation_id": request.conversation,
        "model": request.model,
        "model_version": request.info.version,
        "operation": request.operation,
        "stream": request.request.stream,
    }


def _training(body: dict[str, Any]) -> bool:
    """Return whether the request may be used for training: unless ``metadata.training`` is ``false``."""
    metadata = body.get("metadata")
    return not isinstance(metadata, Mapping) or str(metadata.get("training")).lower() != "false"


def _detectors(request: InferenceRequest, expected: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in expected if request.tenant != OWN_TENANT or name in _OWN_DETECTORS)


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters that fit a record; another server's requests may contain anything."""
    found = {name: body.get(name) for name in _PARAMETERS}
    for name in ("max_completion_tokens", "max_output_tokens"):
        found["max_tokens"] = body.get(name) if found["max_tokens"] is None else found["max_tokens"]
    return {name: value for name, value in found.items() if _is_number(value)}


def _token_ids(request: ModelRequest) -> dict[str, int]:
    """Return the number of token ids in a prompt that is a list of token ids, or a list of such lists."""
    prompt = request.body.get(_PROMPTS[request.operation])
    if request.operation not in {"text_completion", "embeddings"} or not isinstance(prompt, list):
        return {}
    count = sum(len(item) if isinstance(item, list) else type(item) is int for item in prompt)
    return {"token_ids": count} if count else {}


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and MIN_INT64 <= value <= MAX_INT64)


def context_of(messages: tuple[Message, ...], max_characters: int) -> tuple[Message, ...]:
    """Return the text parts of the last messages, at most `max_characters` in total.

    If the oldest returned part is too long, its end is cut off.
    """
    kept: list[Message] = []
    for message in reversed(messages):
        texts: list[TextPart] = []
        for part in reversed(message.parts):
            if isinstance(part, TextPart) and max_characters > 0:
                texts.append(TextPart(content=part.content[:max_characters]))
                max_characters -= len(part.content)
        if texts:
            kept.append(msgspec.structs.replace(message, parts=tuple(reversed(texts))))
    return tuple(reversed(kept))


def request_attributes(request: InferenceRequest, topic: str) -> dict[str, str | int | float | bool]:
    """Return the attributes of the inference's span; `topic` is the topic that contains the text, or "" if capture is off."""
    body = request.request.body
    parameters = _parameters(body)
    found: dict[str, str | int | float | bool | None] = {
        semconv.GEN_AI_OPERATION_NAME: request.operation,
        semconv.GEN_AI_PROVIDER_NAME: f"weir.{request.info.engine}",
        semconv.GEN_AI_REQUEST_MODEL: request.model,
        semconv.GEN_AI_REQUEST_STREAM: request.request.stream,
        semconv.GEN_AI_REQUEST_TEMPERATURE: parameters.get("temperature"),
        semconv.GEN_AI_REQUEST_TOP_P: parameters.get("top_p"),
        semconv.GEN_AI_REQUEST_MAX_TOKENS: parameters.get("max_tokens"),
        semconv.GEN_AI_REQUEST_SEED: parameters.get("seed"),
        semconv.GEN_AI_CONVERSATION_ID: request.conversation or None,
        semconv.WEIR_REQUEST_ID: request.request_id,
        semconv.WEIR_TENANT: request.tenant,
        semconv.MESSAGING_DESTINATION_NAME: topic or None,
        semconv.WEIR_EVENT_ID: f"{request.request_id}/request" if topic else None,
    }
    return {name: value for name, value in found.items() if value is not None}
