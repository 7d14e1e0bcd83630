"""The records of one inference, and the attributes of its span. Only the records contain prompts and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import msgspec

from serving.backend import ModelInfo, ModelRequest, Operation
from serving.chat_turns import OPERATOR_ROLES, turns_of
from serving.openai_api.parts import added_messages, messages_from, tools_from
from stream.wire import (
    MAX_INT64,
    MIN_INT64,
    OWN_TENANT,
    Choice,
    DeclaredTool,
    ErrorInfo,
    GuardStop,
    Message,
    Part,
    RequestRecord,
    ResponseRecord,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResponsePart,
    Usage,
    semconv,
)

EndStatus = Literal["complete", "error", "cancelled", "aborted"]

#: Detectors for the answers to Weir's own prompts; the prompts never change and need no detector.
_OWN_DETECTORS = frozenset({"refusal", "toxicity"})
#: The detector that reads tool calls instead of text, and the most characters of schemas and names that an answer's record contains for it.
_TOOLS = "tools"
_MAX_DECLARED = 65_536
#: The detector that compares an answer with the operator's messages, and the most bytes of their text in an answer's record.
_LEAK = "leak"
_MAX_INSTRUCTIONS = 16_384
#: Most characters of a span's conversation id: MLflow rejects all spans of an export if one of them has more.
_MAX_SPAN_CONVERSATION = 250
#: The detector that compares the user's answer with further answers, which a copy of the request gets.
_CONSISTENCY = "consistency"
#: The detectors that compare an answer with tool results, and the most bytes of these in an answer's record.
_TOOL_RESULT_READERS = frozenset({_LEAK, "groundedness"})
_MAX_TOOL_RESULTS = 16_384
#: Fields of a request body with their names in the record; of several fields with the same name, the first is recorded.
_PARAMETERS = {
    "max_completion_tokens": "max_tokens",  # engines ignore max_tokens beside this field
    "max_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
#: Operations whose requests can repeat earlier requests and their answers.
_CHATS = ("chat", "responses")
#: Operations whose prompt can be a list of token ids.
_TOKEN_OPERATIONS = ("text_completion", "embeddings")


@dataclass(frozen=True, kw_only=True)
class InferenceRequest:
    """One inference; `model` is the client's name for the model, `shadow_of` the id of the user's request if this is a copy of it.

    `compared` is the answer that the user received, if the answers to this copy are compared with it. `secret` is the header
    with the client's API key, for `turns_of`; "" if the client sent a conversation id. `sampling` are the sampling
    parameters of the body, for the record and the span.
    """

    tenant: str
    principal: str
    conversation: str = ""
    model: str
    info: ModelInfo
    request: ModelRequest
    shadow_of: str = ""
    compared: str = ""
    secret: str = field(default="", repr=False)
    sampling: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Set `sampling`."""
        sampling = {
            name: value  # a record can contain no larger integer
            for name, value in sampling_parameters(self.request.body).items()
            if isinstance(value, float) or MIN_INT64 <= value <= MAX_INT64
        }
        object.__setattr__(self, "sampling", sampling)

    @property
    def request_id(self) -> str:
        """The id of the request."""
        return self.request.request_id

    @property
    def operation(self) -> Operation:
        """The operation, such as ``chat``."""
        return self.request.operation


@dataclass(frozen=True, kw_only=True)
class ExpectedVerdicts:
    """The detectors that must return a verdict on each prompt (`input`) and on each answer (`output`).

    The record of an answer contains up to `context_characters` of the prompt, for detectors that compare answer and prompt
    (`context_of`).
    """

    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    context_characters: int = 0


#: The field of a request body that contains the prompt, and a further field that may contain text: vLLM embeds messages.
_PROMPTS: dict[Operation, tuple[str, str]] = {
    "chat": ("messages", ""),
    "text_completion": ("prompt", "suffix"),
    "embeddings": ("input", "messages"),
    "responses": ("input", ""),
}
#: Fields of a request body that add messages.
_ADDED = frozenset({"documents", "prediction", "chat_template", "chat_template_kwargs"})


def recorded_messages(request: ModelRequest) -> tuple[Message, ...]:
    """Return the messages of a request; the prompt and the suffix of a plain completion, or an input of embeddings, are messages of the user.

    Token ids are not recorded. The instructions of the Responses API are a system message. The documents (vLLM) and the predicted answer of a chat,
    the texts for the chat template (vLLM), and the variables of a stored prompt (Responses API), are before the last message. A document becomes a
    tool result; the others become a message of the user.
    """
    prompt, further = _PROMPTS[request.operation]
    messages = messages_from(request.body.get(prompt))
    if more := request.body.get(further):
        messages += messages_from(more)
    instructions = request.body.get("instructions")
    if request.operation == "responses" and isinstance(instructions, str) and instructions:
        messages = (Message.of_text("system", instructions), *messages)
    body = request.body
    if _ADDED.isdisjoint(body) and request.operation != "responses":  # nearly always
        return messages
    return (*messages[:-1], *added_messages(body), *messages[-1:])


def request_record(request: InferenceRequest, expected: ExpectedVerdicts) -> RequestRecord:
    """Return the record of a request.

    No verdict is expected on a request without text and tool call, nor on a shadow request, whose prompt has its verdicts.
    """
    sent = request.request
    messages = recorded_messages(sent)
    tools = sent.body.get("tools") or sent.body.get("functions")
    count = _token_ids(sent)
    return RequestRecord(
        request_id=sent.request_id,
        tenant=request.tenant,
        principal=request.principal,
        conversation_id=request.conversation,
        model=request.model,
        model_version=request.info.version,
        operation=sent.operation,
        stream=sent.stream,
        messages=messages,
        tools=tools_from(tools) if tools else (),
        parameters=request.sampling | {"token_ids": count} if count else request.sampling,
        training=may_train(sent.body),
        shadow_of=request.shadow_of,
        turns=turns_of(messages, request.secret) if request.secret and sent.operation in _CHATS else (),
        owed=() if request.shadow_of else owed_detectors(_detectors(request, expected.input), messages),
    )


def response_record(  # noqa: PLR0913 - the fields of an end
    request: InferenceRequest,
    asked: RequestRecord,
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
    """Return the record of an inference's end; `asked` is the record of its request.

    Without an answer text, the prompt is omitted and only verdicts on tool calls are expected. For a copy whose answers
    are compared with the user's answer, the user's answer is the last message of `context`, and only the verdict of
    `consistency` is expected, if the copy's answers are complete.
    """
    owed = owed_detectors(
        _detectors(request, expected.output),
        choices,
        calls_complete=status == "complete" and not (guard is not None and guard.stopped),
        instructed=_LEAK in expected.output and has_instructions(asked.messages),
        compared=bool(request.compared) and status == "complete",
    )
    messages = asked.messages
    if request.compared:
        messages = (*messages, Message.of_text("assistant", request.compared))
    return ResponseRecord(
        request_id=asked.request_id,
        tenant=asked.tenant,
        principal=asked.principal,
        conversation_id=asked.conversation_id,
        model=asked.model,
        model_version=request.info.version,
        operation=asked.operation,
        stream=asked.stream,
        status=status,
        messages=choices,
        usage=usage,
        latency_seconds=latency_seconds,
        time_to_first_token_seconds=first_token_seconds,
        error=error,
        guard=guard,
        shadow_of=asked.shadow_of,
        turns=asked.turns,
        **for_detectors(owed, messages, asked.tools, choices, expected),
    )


def for_detectors(
    owed: tuple[str, ...],
    messages: tuple[Message, ...],
    tools: Sequence[ToolDefinition],
    choices: Sequence[Choice],
    expected: ExpectedVerdicts,
) -> dict[str, Any]:
    """Return the fields of an end record that the detectors in `owed` read beside the answer."""
    return {
        "context": context_of(messages, expected.context_characters, owed),
        "instructions": instructions_of(messages) if _LEAK in owed else (),
        "tools": declared_tools(tools, choices) if _TOOLS in owed else None,
        "owed": owed,
    }


def owed_detectors(
    names: tuple[str, ...],
    messages: Sequence[Message | Choice],
    *,
    calls_complete: bool = True,
    instructed: bool = False,
    compared: bool = False,
) -> tuple[str, ...]:
    """Return the detectors in `names` that have something to read in `messages`: a text, or for ``tools`` complete tool calls.

    A call of an answer that ended with `length` can have half of its arguments. `leak` also needs a text of the operator in the request (`instructed`), and `consistency` a user's answer (`compared`).
    """
    has_text = has_calls = False
    for message in messages:
        for part in message.parts:
            has_text = has_text or part.text != ""
            if type(part) is ToolCallPart:  # isinstance with a msgspec struct is slow
                has_calls = True
                calls_complete = calls_complete and not (type(message) is Choice and message.finish_reason == "length")
    return _readable(names, has_text, (has_calls and calls_complete, has_text and instructed, has_text and compared))


@lru_cache(maxsize=64)  # few combinations: the detectors of the settings
def _readable(names: tuple[str, ...], has_text: bool, special: tuple[bool, bool, bool]) -> tuple[str, ...]:  # noqa: FBT001 - hashed
    readable = dict(zip((_TOOLS, _LEAK, _CONSISTENCY), special, strict=True))
    return tuple(name for name in names if readable.get(name, has_text))


def has_instructions(messages: Sequence[Message]) -> bool:
    """Return whether a message of the operator (role ``system`` or ``developer``) has text."""
    return any(message.role in OPERATOR_ROLES and message.text for message in messages)


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


def may_train(body: Mapping[str, Any]) -> bool:
    """Return whether the request in `body` may be used for training: unless ``metadata.training`` has a value other than ``true``.

    A gateway rejects other words. Intake cannot, so there a word such as ``no`` counts as an opt-out.
    """
    metadata = body.get("metadata")
    if metadata is None:  # nearly always; isinstance with an abstract class is slow
        return True
    value = metadata.get("training") if isinstance(metadata, Mapping) else None
    return value is None or str(value).strip().lower() in ("", "true")


def _detectors(request: InferenceRequest, expected: tuple[str, ...]) -> tuple[str, ...]:
    if request.compared:
        return tuple(name for name in expected if name == _CONSISTENCY)
    if request.tenant != OWN_TENANT:
        return expected
    return tuple(name for name in expected if name in _OWN_DETECTORS)


def sampling_parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters of a request body with their names in a record; values that are no numbers are omitted."""
    found: dict[str, Any] = {}
    for name in [name for name in _PARAMETERS if name in body]:
        parameter, value = _PARAMETERS[name], body[name]
        if value is not None and parameter not in found:
            found[parameter] = value
    # A boolean is an `int`, but no record can contain it.
    return {name: value for name, value in found.items() if type(value) is int or isinstance(value, float)}


def _token_ids(request: ModelRequest) -> int:
    """Return the number of token ids in a prompt that is a list of token ids, or a list of such lists; 0 for other prompts."""
    if request.operation not in _TOKEN_OPERATIONS:
        return 0
    prompt = request.body.get(_PROMPTS[request.operation][0])
    if not isinstance(prompt, list):
        return 0
    return sum(len(item) if isinstance(item, list) else type(item) is int for item in prompt)


def context_of(messages: tuple[Message, ...], max_characters: int, owed: tuple[str, ...]) -> tuple[Message, ...]:
    """Return the newest texts of a prompt, at most `max_characters` in total, for the expected verdicts `owed` on its answer.

    If a detector in `owed` reads tool results, the newest of these are returned too, at most 16 KiB of UTF-8 in total. If the oldest returned
    text or result is too long, its end is cut off. Without expected verdicts, and with `max_characters` 0, the result is empty.
    """
    if not owed or max_characters <= 0:
        return ()
    left = _MAX_TOOL_RESULTS if _TOOL_RESULT_READERS & set(owed) else 0
    kept: list[Message] = []
    for message in reversed(messages):
        parts: list[Part] = []
        for part in reversed(message.parts):
            if isinstance(part, TextPart) and max_characters > 0:
                parts.append(TextPart(content=part.content[:max_characters]))
                max_characters -= len(part.content)
            elif isinstance(part, ToolResponsePart) and left > 0:
                response, size = _first_bytes(part.response, left)
                parts.append(ToolResponsePart(response=response, id=part.id))
                left -= size
        if parts:
            kept.append(msgspec.structs.replace(message, parts=tuple(reversed(parts))))
    return tuple(reversed(kept))


def _first_bytes(text: str, most: int) -> tuple[str, int]:
    """Return the beginning of a text, at most `most` bytes of UTF-8, and the size of the whole text."""
    encoded = text.encode("utf-8", "surrogatepass")
    return encoded[:most].decode("utf-8", "ignore"), len(encoded)


def instructions_of(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the texts of the operator's newest messages, at most 16 KiB of UTF-8 in total; the end of the oldest can be cut off."""
    kept: list[Message] = []
    left = _MAX_INSTRUCTIONS
    for message in reversed(messages):
        if message.role in OPERATOR_ROLES and message.text and left > 0:
            text, size = _first_bytes(message.text, left)
            kept.append(Message.of_text(message.role, text))
            left -= size
    return tuple(reversed(kept))


def request_attributes(request: InferenceRequest, topic: str) -> dict[str, str | int | float | bool]:
    """Return the attributes of the inference's span; `topic` is the topic that contains the text, or "" if capture is off."""
    sampling = request.sampling
    found: dict[str, str | int | float | bool | None] = {
        semconv.GEN_AI_OPERATION_NAME: request.operation,
        semconv.GEN_AI_PROVIDER_NAME: f"weir.{request.info.engine}",
        semconv.GEN_AI_REQUEST_MODEL: request.model,
        semconv.GEN_AI_REQUEST_STREAM: request.request.stream,
        semconv.GEN_AI_REQUEST_TEMPERATURE: sampling.get("temperature"),
        semconv.GEN_AI_REQUEST_TOP_P: sampling.get("top_p"),
        semconv.GEN_AI_REQUEST_MAX_TOKENS: sampling.get("max_tokens"),
        semconv.GEN_AI_REQUEST_SEED: sampling.get("seed"),
        semconv.GEN_AI_CONVERSATION_ID: request.conversation[:_MAX_SPAN_CONVERSATION] or None,
        semconv.WEIR_REQUEST_ID: request.request_id,
        semconv.WEIR_TENANT: request.tenant,
        semconv.MESSAGING_DESTINATION_NAME: topic or None,
        semconv.WEIR_EVENT_ID: f"{request.request_id}/request" if topic else None,
    }
    return {name: value for name, value in found.items() if value is not None}
