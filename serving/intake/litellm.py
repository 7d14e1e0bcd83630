"""LiteLLM's logs: its ``StandardLoggingPayload``, as the callback ``generic_api`` sends them.

Specification: https://docs.litellm.ai/docs/proxy/logging_spec; shapes of version 1.110.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from serving.api_keys import Principal
from serving.intake.body_text import answer_of, document, messages_of
from serving.intake.errors import Unreadable
from serving.intake.reported_exchange import Answered, Asked, Sender, Told, identity_of, moment, parameters_of
from stream.wire import ErrorInfo, Usage

__all__ = ["payloads", "told_by_litellm"]

Payload = Mapping[str, Any]
#: What LiteLLM puts in the place of a text that it is set not to log (`turn_off_message_logging`).
_REDACTED = "redacted-by-litellm"
_HASH_CHARACTERS = 12
_CONVERSATION_HEADER = "x-weir-conversation-id"


def payloads(raw: bytes) -> Iterator[Any]:
    """Yield the payloads of a body: a JSON array, one object, or one object a line (`log_format`); raises Unreadable."""
    lines = raw.strip().splitlines()
    if len(lines) > 1 and raw.lstrip().startswith(b"{"):
        try:
            yield from [msgspec.json.decode(line) for line in lines if line.strip()]
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield document(raw)  # one object, printed over several lines
        return
    body = document(raw)
    yield from body if isinstance(body, list) else [body]


def told_by_litellm(payload: Any, principal: Principal) -> Told:
    """Return the exchange that `payload` tells of, sent with the key of `principal`.

    Raises
    ------
    Unreadable
        It is no standard logging payload; the message names what is missing.
    """
    if not isinstance(payload, Mapping) or not isinstance(payload.get("id"), str):
        raise Unreadable("no id; send LiteLLM's StandardLoggingPayload (generic_api_use_v1 must be off)")
    if payload.get("status") not in {"success", "failure"}:
        raise Unreadable("status is neither success nor failure; send LiteLLM's StandardLoggingPayload")
    started = _seconds(payload.get("startTime"))
    return Told(
        identity=identity_of(principal.tenant, "litellm", payload["id"], repr(started)),
        sender=_sender(payload, principal),
        asked=_asked(payload, started),
        answered=_answered(payload),
    )


def _sender(payload: Payload, principal: Principal) -> Sender:
    """Return who sent it: the retraining gates count principals, so LiteLLM's virtual keys are told apart."""
    metadata = _table(payload.get("metadata"))
    key = _word(metadata.get("user_api_key_hash"))[:_HASH_CHARACTERS]
    headers = {str(name).lower(): value for name, value in _table(metadata.get("requester_custom_headers")).items()}
    conversation = (
        _word(headers.get(_CONVERSATION_HEADER))
        or _word(_table(metadata.get("requester_metadata")).get("conversation_id"))
        or _word(payload.get("session_id"))
    )
    return Sender(
        tenant=principal.tenant,
        principal=f"{principal.id}/{key}" if key else principal.id,
        conversation=conversation[:256],
    )


def _asked(payload: Payload, started: float) -> Asked:
    kind = _word(payload.get("call_type"))
    raw = payload.get("messages")
    messages = messages_of(raw["messages"] if isinstance(raw, Mapping) and "messages" in raw else raw)
    return Asked(
        model=_word(payload.get("model_group")) or _word(payload.get("model")),
        model_version=_word(payload.get("model")),
        operation="text_completion" if "text_completion" in kind else "chat",
        stream=payload.get("stream") is True,
        messages=() if any(one.content == _REDACTED for one in messages) else messages,
        parameters=parameters_of(dict(_table(payload.get("model_parameters")))),
        at=started,
    )


def _answered(payload: Payload) -> Answered:
    told = _answer(payload.get("response"))
    failed = payload["status"] == "failure"
    return msgspec.structs.replace(
        told,
        status="error" if failed else "complete",
        text="" if told.text == _REDACTED else told.text,
        usage=Usage(
            prompt_tokens=_number(payload.get("prompt_tokens")),
            completion_tokens=_number(payload.get("completion_tokens")),
        ),
        error=_error(payload) if failed else None,
        at=_seconds(payload.get("endTime")),
        first_at=_seconds(payload.get("completionStartTime")) if payload.get("stream") is True else 0.0,
    )


def _answer(response: Any) -> Answered:
    """Return the answer's text; LiteLLM logs many kinds of calls, and what has no text is no fault."""
    if isinstance(response, str):
        return Answered(text=response)
    if not isinstance(response, Mapping):
        return Answered()
    if isinstance(response.get("text"), str):
        return Answered(text=response["text"])
    try:
        return answer_of(response)
    except Unreadable:
        return Answered()


def _error(payload: Payload) -> ErrorInfo:
    """Return why it failed: a class and a status; LiteLLM's message may quote the prompt."""
    told = _table(payload.get("error_information"))
    code = str(told.get("error_code") or "")
    status = int(code) if re.fullmatch("[1-9][0-9]{2}", code) else 500
    return ErrorInfo(kind=_word(told.get("error_class")) or "unknown", status=status)


def _table(value: Any) -> Payload:
    return value if isinstance(value, Mapping) else {}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _seconds(value: Any) -> float:
    return moment(value) if isinstance(value, int | float) else 0.0
