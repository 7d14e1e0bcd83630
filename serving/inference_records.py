"""The records of one inference, and the attributes of its span. Only the records contain prompts and answers."""

from typing import Any, Literal

import msgspec

from serving.engine.protocol import Chunk
from serving.replica.generation import Generation, ModelInfo
from stream.wire import OWN_TENANT, ErrorInfo, Message, RequestRecord, ResponseRecord, Usage, semconv

__all__ = [
    "EndStatus",
    "ExpectedVerdicts",
    "InferenceRequest",
    "context_of",
    "request_attributes",
    "request_record",
    "response_record",
]

EndStatus = Literal["complete", "error", "cancelled", "aborted"]

#: Detectors for the answers to Weir's own prompts (sentinels); the prompts never change and need no detector.
_OWN_DETECTORS = frozenset({"refusal"})


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One inference; `model` is the client's name for the model, `operation` is ``chat`` or ``text_completion``."""

    request_id: str
    tenant: str
    principal: str
    conversation: str = ""
    model: str
    info: ModelInfo
    operation: str
    generation: Generation


class ExpectedVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """The detectors that must return a verdict on each prompt (`input`) and on each answer (`output`).

    The record of an answer contains up to `context_characters` of the prompt, for detectors that compare answer and prompt.
    """

    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    context_characters: int = 0


def request_record(request: InferenceRequest, expected: ExpectedVerdicts) -> RequestRecord:
    """Return the record of a request; if the request has no text, no verdict is expected."""
    generation = request.generation
    record = RequestRecord(
        **_common(request),
        messages=tuple(Message(role=role, content=content) for role, content in generation.messages),
        prompt=generation.prompt,
        parameters={
            "max_tokens": generation.max_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            "seed": generation.seed,
            "frequency_penalty": generation.frequency_penalty,
            "presence_penalty": generation.presence_penalty,
        },
    )
    return msgspec.structs.replace(record, owed=_detectors(request, expected.input) if record.text() else ())


def response_record(  # noqa: PLR0913 - the fields of an end
    request: InferenceRequest,
    expected: ExpectedVerdicts,
    *,
    status: EndStatus,
    error: ErrorInfo | None,
    text: str,
    last: Chunk,
    latency_seconds: float,
    first_token_seconds: float | None,
) -> ResponseRecord:
    """Return the record of an inference's end; without an answer text, no verdict is expected and the prompt is omitted."""
    return ResponseRecord(
        **_common(request),
        status=status,
        text=text,
        context=context_of(_prompt(request.generation), expected.context_characters) if text else (),
        finish_reason=last.finish_reason,
        usage=Usage(prompt_tokens=last.prompt_tokens, completion_tokens=last.completion_tokens),
        latency_seconds=latency_seconds,
        time_to_first_token_seconds=first_token_seconds,
        error=error,
        owed=_detectors(request, expected.output) if text else (),
    )


def _common(request: InferenceRequest) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "tenant": request.tenant,
        "principal": request.principal,
        "conversation_id": request.conversation,
        "model": request.model,
        "model_version": request.info.version,
        "operation": request.operation,
        "stream": request.generation.stream,
    }


def _detectors(request: InferenceRequest, expected: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in expected if request.tenant != OWN_TENANT or name in _OWN_DETECTORS)


def _prompt(generation: Generation) -> tuple[Message, ...]:
    return tuple(
        Message(role=role, content=content) for role, content in generation.messages or (("user", generation.prompt),)
    )


def context_of(messages: tuple[Message, ...], max_characters: int) -> tuple[Message, ...]:
    """Return the last messages, with at most `max_characters` in total.

    If the oldest of these messages does not fit, only its first characters are returned.
    """
    kept: list[Message] = []
    for message in reversed(messages):
        if max_characters <= 0:
            break
        kept.append(msgspec.structs.replace(message, content=message.content[:max_characters]))
        max_characters -= len(message.content)
    return tuple(reversed(kept))


def request_attributes(request: InferenceRequest, topic: str) -> dict[str, str | int | float | bool]:
    """Return the attributes of the inference's span; `topic` is the topic that contains the text, or "" if capture is off."""
    generation = request.generation
    found: dict[str, str | int | float | bool | None] = {
        semconv.GEN_AI_OPERATION_NAME: request.operation,
        semconv.GEN_AI_PROVIDER_NAME: f"weir.{request.info.engine}",
        semconv.GEN_AI_REQUEST_MODEL: request.model,
        semconv.GEN_AI_REQUEST_STREAM: generation.stream,
        semconv.GEN_AI_REQUEST_TEMPERATURE: generation.temperature,
        semconv.GEN_AI_REQUEST_TOP_P: generation.top_p,
        semconv.GEN_AI_REQUEST_MAX_TOKENS: generation.max_tokens,
        semconv.GEN_AI_REQUEST_SEED: generation.seed,
        semconv.GEN_AI_CONVERSATION_ID: request.conversation or None,
        semconv.WEIR_REQUEST_ID: request.request_id,
        semconv.WEIR_TENANT: request.tenant,
        semconv.MESSAGING_DESTINATION_NAME: topic or None,
        semconv.WEIR_EVENT_ID: f"{request.request_id}/request" if topic else None,
    }
    return {name: value for name, value in found.items() if value is not None}
