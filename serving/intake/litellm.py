"""Read the logs of LiteLLM: the ``StandardLoggingPayload`` objects that its callback ``generic_api`` sends.

Specification: https://docs.litellm.ai/docs/proxy/logging_spec; the fields are those of version 1.110.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from serving.api_keys import Principal
from serving.decoded_json import count_of, mapping_of, text_of
from serving.errors import UnreadablePayload
from serving.inference_records import may_train, sampling_parameters
from serving.intake.body_text import decoded, document, response_from
from serving.intake.body_values import MAX_VALUES, check_items, check_json
from serving.intake.reported_exchange import (
    Origin,
    ReportedExchange,
    ReportedRequest,
    ReportedResponse,
    error_kind,
    identity_of,
    valid_time,
)
from serving.openai_api.parts import messages_from, tools_from
from stream.wire import Choice, ErrorInfo, Message, TextPart, Usage

Payload = Mapping[str, Any]
_MessageT = TypeVar("_MessageT", Message, Choice)
#: LiteLLM writes this instead of a text and of a call's arguments if `turn_off_message_logging` is set.
_REDACTED = "redacted-by-litellm"
_HASH_CHARACTERS = 12
_CONVERSATION_HEADER = "x-weir-conversation-id"
_UNKNOWN_STATUS = 500


def payloads(raw: bytes) -> Iterator[Any]:
    """Yield the payloads of a body: a JSON array, one object, or one object per line; raises UnreadablePayload."""
    if raw.count(b"\n") > MAX_VALUES:
        raise UnreadablePayload(f"{len(raw)} bytes have more than {MAX_VALUES} lines, the limit; send smaller batches")
    lines = raw.strip().splitlines()
    if len(lines) > 1 and raw.lstrip().startswith(b"{"):
        check_json(raw)
        try:
            items = [decoded(line) for line in lines if line.strip()]
        except ValueError:
            items = [document(raw)]  # one object, printed over several lines
    else:
        body = document(raw)
        items = body if isinstance(body, list) else [body]
    check_items(items)
    yield from items


def exchange_from_litellm(payload: Any, principal: Principal) -> ReportedExchange:
    """Return the exchange in `payload`; `principal` owns the API key that was sent. Raises UnreadablePayload."""
    if not isinstance(payload, Mapping) or not isinstance(payload.get("id"), str):
        raise UnreadablePayload("no id; send LiteLLM's StandardLoggingPayload (generic_api_use_v1 must be off)")
    if payload.get("status") not in {"success", "failure"}:
        raise UnreadablePayload("status is neither success nor failure; send LiteLLM's StandardLoggingPayload")
    started = _seconds(payload.get("startTime"))
    return ReportedExchange(
        identity=identity_of(principal.tenant, "litellm", payload["id"], repr(started)),
        origin=_origin(payload, principal),
        request=_request(payload, started),
        response=_response(payload),
    )


def _origin(payload: Payload, principal: Principal) -> Origin:
    """Return the origin. The virtual key of LiteLLM is the principal only if the key that was sent has the scope ``delegate``.

    Retraining and datasets count principals, so a client must not be able to invent them.
    """
    metadata = mapping_of(payload.get("metadata"))
    key = text_of(metadata.get("user_api_key_hash"))[:_HASH_CHARACTERS] if "delegate" in principal.scopes else ""
    headers = {str(name).lower(): value for name, value in mapping_of(metadata.get("requester_custom_headers")).items()}
    conversation = (
        text_of(headers.get(_CONVERSATION_HEADER))
        or text_of(mapping_of(metadata.get("requester_metadata")).get("conversation_id"))
        or text_of(payload.get("session_id"))
    )
    return Origin.of(principal, conversation, key=key)


def _request(payload: Payload, started: float) -> ReportedRequest:
    kind = text_of(payload.get("call_type"))
    raw = payload.get("messages")
    messages = messages_from(raw["messages"] if isinstance(raw, Mapping) and "messages" in raw else raw)
    parameters = mapping_of(payload.get("model_parameters"))
    if instructions := text_of(parameters.get("instructions")):  # of the Responses API
        messages = (Message.of_text("system", instructions), *messages)
    return ReportedRequest(
        model=text_of(payload.get("model_group")) or text_of(payload.get("model")),
        model_version=text_of(payload.get("model")),
        operation="text_completion" if "text_completion" in kind else "chat",
        stream=payload.get("stream") is True,
        messages=tuple(_unredacted(messages)),
        tools=tools_from(parameters.get("tools") or parameters.get("functions")),
        parameters=sampling_parameters(parameters),
        training=may_train({"metadata": mapping_of(payload.get("metadata")).get("requester_metadata")}),
        at=started,
    )


def _response(payload: Payload) -> ReportedResponse:
    response = _answer(payload.get("response"))
    failed = payload["status"] == "failure"
    return msgspec.structs.replace(
        response,
        status="error" if failed else "complete",
        choices=tuple(_unredacted(response.choices)),
        usage=Usage(
            prompt_tokens=count_of(payload.get("prompt_tokens")),
            completion_tokens=count_of(payload.get("completion_tokens")),
        ),
        error=_error(payload) if failed else None,
        at=_seconds(payload.get("endTime")),
        first_at=_seconds(payload.get("completionStartTime")) if payload.get("stream") is True else 0.0,
    )


def _unredacted(messages: Iterable[_MessageT]) -> Iterator[_MessageT]:
    """Yield the messages or choices without their redacted parts, unless no part is left."""
    for message in messages:
        parts = tuple(part for part in message.parts if part.text != _REDACTED)
        if parts or not message.parts:
            yield msgspec.structs.replace(message, parts=parts)


def _answer(response: Any) -> ReportedResponse:
    """Return the response; LiteLLM logs calls of many kinds, so a response without text is valid."""
    text = response.get("text") if isinstance(response, Mapping) else response
    if isinstance(text, str):
        return ReportedResponse(choices=(Choice(parts=(TextPart(content=text),)),) if text else ())
    if not isinstance(response, Mapping):
        return ReportedResponse()
    try:
        return response_from(response)
    except UnreadablePayload:
        return ReportedResponse()


def _error(payload: Payload) -> ErrorInfo:
    """Return the class and status of a failure, without LiteLLM's message, which may quote the prompt."""
    information = mapping_of(payload.get("error_information"))
    code = str(information.get("error_code") or "")
    status = int(code) if re.fullmatch("[1-9][0-9]{2}", code) else _UNKNOWN_STATUS
    return ErrorInfo(kind=error_kind(information.get("error_class")), status=status)


def _seconds(value: Any) -> float:
    return valid_time(value) if isinstance(value, int | float) else 0.0
