"""Turn OTLP's spans and log records of one inference into an exchange, or into fragments of it.

A span with content is an exchange. A span without content waits for log records with its ids: one event with the whole
content, or one event per message and choice. Other spans are not an inference, such as spans of tools, agents and
embeddings.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from serving.api_keys import Principal
from serving.decoded_json import count_of, first_text, mapping_of, text_of
from serving.inference_records import may_train, sampling_parameters
from serving.intake.genai_content import Content, content_of, json_value
from serving.intake.otlp import OtlpLog, OtlpSpan
from serving.intake.reported_exchange import (
    EVENT,
    SPAN,
    Origin,
    ReportedExchange,
    ReportedRequest,
    ReportedResponse,
    error_kind,
    has_content,
    identity_of,
    valid_time,
)
from serving.openai_api.parts import choice_from, message_from
from stream.wire import Choice, ErrorInfo, TraceParent, Usage, semconv

#: Why an item is not recorded: it is not an inference, or the application does not export content.
NotRecorded = Literal["other", "no_content"]
Attributes = Mapping[str, Any]
_OPERATIONS = {
    "chat": "chat",
    "generate_content": "chat",
    "completion": "text_completion",
    "text_completion": "text_completion",
}
_DETAILS = "gen_ai.client.inference.operation.details"
_CHOICE = "gen_ai.choice"
_MESSAGE = re.compile(r"gen_ai\.(system|developer|user|assistant|tool|function)\.message")
_CONVERSATIONS = (
    semconv.GEN_AI_CONVERSATION_ID,
    "session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.conversation_id",
)
_FIRST_TOKEN_EVENTS = frozenset({"First Token Stream Event", "gen_ai.content.completion.chunk"})
_OPENINFERENCE_KIND = "openinference.span.kind"
_REQUEST_PREFIX = "gen_ai.request."


def exchange_from_span(span: OtlpSpan, principal: Principal) -> ReportedExchange | NotRecorded:
    """Return the exchange of a span, its fragment if only its log records can have the content, or why it is not recorded."""
    attributes = span.attributes
    operation = _operation(attributes)
    if operation is None:
        return "other"
    content = content_of(attributes)
    if not content and _OPENINFERENCE_KIND in attributes:  # OpenInference sends no log records
        return "no_content"
    exchange = _exchange(span, attributes, principal)
    request = msgspec.structs.replace(_request(attributes, operation, content), at=valid_time(span.started))
    response = msgspec.structs.replace(
        _response(attributes, content),
        at=valid_time(span.ended),
        first_at=_first_token_time(span),
    )
    if span.failed:
        response = msgspec.structs.replace(response, status="error", error=_error(span))
    request = msgspec.structs.replace(request, stream=request.stream or response.first_at > 0)
    return msgspec.structs.replace(
        exchange,
        request=request,
        response=response,
        fragment="" if content else SPAN,
        expected_choices=max(1, count_of(attributes.get("gen_ai.request.choice.count"))),
    )


def exchanges_from_logs(
    logs: Iterable[OtlpLog], principal: Principal
) -> Iterator[tuple[Callable[[], ReportedExchange | NotRecorded], int]]:
    """Yield (function that returns the fragment, number of its log records) per fragment of an exchange, or per other record."""
    messages: dict[tuple[str, str], list[OtlpLog]] = {}
    for log in logs:
        is_message = log.event == _CHOICE or _MESSAGE.fullmatch(log.event)
        if not log.span_id or not (is_message or log.event == _DETAILS):
            yield (lambda: "other"), 1
        elif is_message:
            messages.setdefault((log.trace_id, log.span_id), []).append(log)
        else:
            yield partial(_from_details, log, principal), 1
    for group in messages.values():
        yield partial(_from_messages, group, principal), len(group)


def _from_details(log: OtlpLog, principal: Principal) -> ReportedExchange | NotRecorded:
    attributes = log.attributes | (log.body if isinstance(log.body, dict) else {})
    content = content_of(attributes)
    if not content:
        return "no_content"
    response = _response(attributes, content)
    if semconv.ERROR_TYPE in attributes:
        error = ErrorInfo(kind=error_kind(attributes.get(semconv.ERROR_TYPE)))
        response = msgspec.structs.replace(response, status="error", error=error)
    return msgspec.structs.replace(
        _exchange(log, attributes, principal),
        request=_request(attributes, _operation(attributes) or "chat", content),
        response=msgspec.structs.replace(response, at=valid_time(log.time)),
        fragment=EVENT,
    )


def _from_messages(group: list[OtlpLog], principal: Principal) -> ReportedExchange | NotRecorded:
    bodies = [(log.event, mapping_of(json_value(log.body))) for log in group]
    messages = tuple(
        message_from({"role": found[1], **body}) for event, body in bodies if (found := _MESSAGE.fullmatch(event))
    )
    choices = tuple(_choice(body) for event, body in bodies if event == _CHOICE)
    if not has_content(messages) and not has_content(choices):
        return "no_content"
    last = valid_time(group[-1].time)
    content = (repr((log.time, log.event, log.body)) for log in group)
    return msgspec.structs.replace(
        _exchange(group[0], group[0].attributes, principal),
        request=ReportedRequest(messages=messages, at=valid_time(group[0].time)) if messages else None,
        response=ReportedResponse(choices=choices, at=last) if choices else None,
        fragment=blake2b("\x1f".join(content).encode(), digest_size=16).hexdigest(),
    )


def _choice(body: Attributes) -> Choice:
    """Return a choice; OpenLLMetry puts its tool calls beside the message."""
    message = body.get("message")
    calls = body.get("tool_calls")
    if isinstance(message, Mapping) and calls and not message.get("tool_calls"):
        body = {**body, "message": {**message, "tool_calls": calls}}
    return choice_from(body)


def _operation(attributes: Attributes) -> str | None:
    if _OPENINFERENCE_KIND in attributes:
        is_inference = attributes[_OPENINFERENCE_KIND] == "LLM"
        plain = any(name.startswith(("llm.prompts", "llm.choices")) for name in attributes)
        return ("text_completion" if plain else "chat") if is_inference else None
    name = attributes.get(semconv.GEN_AI_OPERATION_NAME) or attributes.get("llm.request.type")
    return _OPERATIONS.get(str(name))


def _exchange(item: OtlpSpan | OtlpLog, attributes: Attributes, principal: Principal) -> ReportedExchange:
    traceparent = TraceParent(item.trace_id, item.span_id).header()
    return ReportedExchange(
        identity=identity_of(principal.tenant, "otlp", item.trace_id, item.span_id),
        origin=Origin.of(principal, first_text(attributes, *_CONVERSATIONS), traceparent=traceparent),
    )


def _request(attributes: Attributes, operation: str, content: Content) -> ReportedRequest:
    invocation = json_value(attributes.get("llm.invocation_parameters"))
    parameters: dict[str, Any] = dict(invocation) if isinstance(invocation, Mapping) else {}
    for name, value in attributes.items():
        if name.startswith(_REQUEST_PREFIX):
            parameters.setdefault(name.removeprefix(_REQUEST_PREFIX), value)
    model = first_text(parameters, "model") or first_text(attributes, "llm.request.model_name", "llm.model_name")
    # The request's own metadata, and those of the application's context: OpenInference's and OpenLLMetry's.
    metadata = (
        json_value(parameters.get("metadata")),
        json_value(attributes.get("metadata")),
        {"training": attributes.get("traceloop.association.properties.training")},
    )
    streams = (attributes.get("gen_ai.is_streaming"), attributes.get("llm.is_streaming"), parameters.get("stream"))
    return ReportedRequest(
        model=model,
        model_version=first_text(
            attributes, semconv.GEN_AI_RESPONSE_MODEL, "llm.response.model_name", "llm.model_name"
        ),
        operation=operation,
        stream=True in streams,
        messages=content.messages,
        tools=content.tools,
        parameters=sampling_parameters(parameters),
        training=all(may_train({"metadata": one}) for one in metadata),
    )


def _response(attributes: Attributes, content: Content) -> ReportedResponse:
    usage = Usage(
        prompt_tokens=_count(
            attributes, semconv.GEN_AI_USAGE_INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"
        ),
        completion_tokens=_count(
            attributes,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
        ),
    )
    reasons = attributes.get(semconv.GEN_AI_RESPONSE_FINISH_REASONS)
    return ReportedResponse(choices=tuple(_finished(content.choices, reasons)), usage=usage)


def _finished(choices: tuple[Choice, ...], reasons: Any) -> Iterator[Choice]:
    """Yield the choices, with the span's finish reasons where a choice has none."""
    known = reasons if isinstance(reasons, list) else []
    for number, choice in enumerate(choices):
        reason = text_of(known[number]) if number < len(known) else ""
        if reason and choice.finish_reason is None:
            yield msgspec.structs.replace(choice, finish_reason=reason)
        else:
            yield choice


def _first_token_time(span: OtlpSpan) -> float:
    """Return the time of the first token of a stream, or 0 if unknown."""
    seconds = span.attributes.get(semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)
    if isinstance(seconds, int | float):
        return valid_time(span.started + seconds)
    return next((valid_time(time) for name, time, _ in span.events if name in _FIRST_TOKEN_EVENTS), 0.0)


def _error(span: OtlpSpan) -> ErrorInfo:
    """Return the class of the failure, never its message, which may quote the prompt."""
    thrown = (attributes.get("exception.type") for name, _, attributes in span.events if name == "exception")
    kind = span.attributes.get(semconv.ERROR_TYPE) or next(thrown, "")
    status = count_of(span.attributes.get("http.response.status_code"))
    return ErrorInfo(kind=error_kind(kind), status=status if 100 <= status <= 999 else 500)


def _count(attributes: Attributes, *names: str) -> int:
    return next((count for name in names if (count := count_of(attributes.get(name)))), 0)
