"""What is written of an inference: its records, and the attributes of its span. Content is in the records alone."""

from typing import Literal

import msgspec

from serving.replica.generation import Generation, ModelInfo, Piece
from stream.wire import OWN_TENANT, ErrorInfo, Message, RequestRecord, ResponseRecord, Usage, semconv

__all__ = [
    "Asked",
    "Attributes",
    "Caller",
    "EndStatus",
    "context_of",
    "request_attributes",
    "request_record",
    "response_record",
]

EndStatus = Literal["complete", "error", "cancelled", "aborted"]
Attributes = dict[str, str | int | float | bool]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and in what context."""

    request_id: str
    tenant: str
    principal: str
    conversation: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One inference, as it was asked for.

    Parameters
    ----------
    model
        The name that the client used.
    info
        What answers, as it was last described.
    operation
        ``chat`` or ``text_completion``.
    """

    caller: Caller
    model: str
    info: ModelInfo
    operation: str
    generation: Generation


#: What is owed for Weir's own requests, the sentinels: their prompts never change, so findings about their texts would tell nothing new.
_OWN_OWED = frozenset({"refusal"})


def _owed(caller: Caller, owed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the detectors that owe a verdict on a text of `caller`'s."""
    return tuple(name for name in owed if name in _OWN_OWED) if caller.tenant == OWN_TENANT else owed


def request_record(asked: Asked, owed: tuple[str, ...]) -> RequestRecord:
    """Return the record of a request; detectors owe a verdict where there is text."""
    caller, generation = asked.caller, asked.generation
    record = RequestRecord(
        request_id=caller.request_id,
        tenant=caller.tenant,
        principal=caller.principal,
        conversation_id=caller.conversation,
        model=asked.model,
        model_version=asked.info.version,
        operation=asked.operation,
        stream=generation.stream,
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
    return msgspec.structs.replace(record, owed=_owed(caller, owed)) if record.text() else record


def response_record(  # noqa: PLR0913 - how it ended, each part of its own kind
    asked: Asked,
    *,
    status: EndStatus,
    error: ErrorInfo | None,
    text: str,
    last: Piece,
    latency_seconds: float,
    first_token_seconds: float | None,
    owed: tuple[str, ...],
    context_characters: int = 0,
) -> ResponseRecord:
    """Return the record of an end; detectors owe a verdict where there is text, and may want so much of its prompt."""
    caller = asked.caller
    return ResponseRecord(
        request_id=caller.request_id,
        tenant=caller.tenant,
        principal=caller.principal,
        conversation_id=caller.conversation,
        model=asked.model,
        model_version=asked.info.version,
        operation=asked.operation,
        stream=asked.generation.stream,
        status=status,
        text=text,
        context=context_of(_prompt(asked.generation), context_characters) if text else (),
        finish_reason=last.finish_reason,
        usage=Usage(prompt_tokens=last.prompt_tokens, completion_tokens=last.completion_tokens),
        latency_seconds=latency_seconds,
        time_to_first_token_seconds=first_token_seconds,
        error=error,
        owed=_owed(caller, owed) if text else (),
    )


def _prompt(generation: Generation) -> tuple[Message, ...]:
    return tuple(
        Message(role=role, content=content) for role, content in generation.messages or (("user", generation.prompt),)
    )


def context_of(messages: tuple[Message, ...], most: int) -> tuple[Message, ...]:
    """Return the last of `messages`, oldest first: ``most`` characters, the oldest of them cut at its end."""
    kept: list[Message] = []
    for message in reversed(messages):
        if most <= 0:
            break
        kept.append(msgspec.structs.replace(message, content=message.content[:most]))
        most -= len(message.content)
    return tuple(reversed(kept))


def request_attributes(asked: Asked, topic: str) -> Attributes:
    """Return the attributes of the inference's span; `topic` (or "") is where its content is."""
    generation = asked.generation
    found: dict[str, str | int | float | bool | None] = {
        semconv.GEN_AI_OPERATION_NAME: asked.operation,
        semconv.GEN_AI_PROVIDER_NAME: f"weir.{asked.info.engine}",
        semconv.GEN_AI_REQUEST_MODEL: asked.model,
        semconv.GEN_AI_REQUEST_STREAM: generation.stream,
        semconv.GEN_AI_REQUEST_TEMPERATURE: generation.temperature,
        semconv.GEN_AI_REQUEST_TOP_P: generation.top_p,
        semconv.GEN_AI_REQUEST_MAX_TOKENS: generation.max_tokens,
        semconv.GEN_AI_REQUEST_SEED: generation.seed,
        semconv.GEN_AI_CONVERSATION_ID: asked.caller.conversation or None,
        semconv.WEIR_REQUEST_ID: asked.caller.request_id,
        semconv.WEIR_TENANT: asked.caller.tenant,
        semconv.MESSAGING_DESTINATION_NAME: topic or None,
        semconv.WEIR_EVENT_ID: f"{asked.caller.request_id}/request" if topic else None,
    }
    return {name: value for name, value in found.items() if value is not None}
