"""An inference that another gateway reported: its request and its response, and their conversion to records."""

import re
import uuid
from hashlib import blake2b
from typing import Any, Literal, Self

import msgspec

from serving.api_keys import Principal
from serving.errors import UnreadablePayload
from serving.inference_records import (
    ExpectedVerdicts,
    for_detectors,
    has_instructions,
    owed_detectors,
)
from serving.openai_api.open_request import MAX_ITEMS
from serving.openai_api.request_model import NAME_CHARACTERS
from stream.wire import (
    MAX_COUNT,
    MAX_INT64,
    MIN_INT64,
    BlobPart,
    Choice,
    ErrorInfo,
    Message,
    RequestRecord,
    ResponseRecord,
    ToolDefinition,
    UriPart,
    Usage,
)

_ID_BYTES = 16
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: The class of an error; anything else may be a message that quotes the prompt.
_ERROR_TYPE = re.compile(r"[\w.:$-]{1,128}")
#: Messages do not contain numbers with more digits.
_SHOWN_DIGITS = 24
#: The year 2000: an earlier time is that of a clock that was never set (1970), or has another unit, such as microseconds for nanoseconds.
EARLIEST_SECONDS = 946_684_800.0
#: The year 2096: OTLP stores a span's nanoseconds in 64 bits, and a time that does not fit makes the collector drop the batch.
LATEST_SECONDS = 4e9
#: Fragments of an exchange that OTLP sent: its span, without content; and one log record with the whole content.
SPAN, EVENT = "span", "event"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Origin of an exchange: tenant, principal (Weir's API key, plus the other gateway's key if reported), conversation, trace."""

    tenant: str
    principal: str
    conversation: str = ""
    traceparent: str = ""

    @classmethod
    def of(cls, principal: Principal, conversation: str, *, key: str = "", traceparent: str = "") -> Self:
        """Return the origin of an exchange that `principal` reports; `key` is the other gateway's key. A long conversation id is cut."""
        return cls(
            tenant=principal.tenant,
            principal=f"{principal.id}/{key}" if key else principal.id,
            conversation=conversation[:NAME_CHARACTERS],
            traceparent=traceparent,
        )


class ReportedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request of an exchange; `at` is its time in seconds since the epoch, or 0 if unknown.

    `training` is whether the request may be used for training.
    """

    model: str = ""
    model_version: str = ""
    operation: str = "chat"
    stream: bool = False
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    parameters: dict[str, float | int | str | list[str] | None] = {}
    training: bool = True
    at: float = 0.0


class ReportedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response of an exchange; `at` is the time of its end, `first_at` the time of the first token (0: unknown)."""

    model: str = ""
    status: Literal["complete", "error"] = "complete"
    choices: tuple[Choice, ...] = ()
    usage: Usage = Usage()
    error: ErrorInfo | None = None
    at: float = 0.0
    first_at: float = 0.0


class ReportedExchange(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange, or a part of it; `identity` is the same in all its parts and in every retry.

    A part is one half, with a request or a response, or a fragment from OTLP: its span, or log records. `fragment` is
    then the fragment's name, which is unique in the exchange, and `expected_choices` of the span is the number of
    choices in its log records.
    """

    identity: str
    origin: Origin
    request: ReportedRequest | None = None
    response: ReportedResponse | None = None
    fragment: str = ""
    expected_choices: int = 1

    @property
    def whole(self) -> bool:
        """Whether no part of the exchange is missing."""
        return not self.fragment and self.request is not None and self.response is not None

    @property
    def missing(self) -> str:
        """``answer`` or ``prompt`` if this part is missing, else ""; log records lack one, and a fragment's span lacks both."""
        if self.response is None or (self.fragment and not self.response.choices):
            return "answer"
        return "prompt" if self.request is None or (self.fragment and not self.request.messages) else ""

    @property
    def has_content(self) -> bool:
        """Whether a message or a choice has content."""
        return has_content(self.request.messages if self.request else ()) or has_content(
            self.response.choices if self.response else ()
        )

    @property
    def seconds(self) -> float:
        """Duration in seconds, or 0 if unknown: also if the end is before the start, because two clocks differ."""
        if self.request is None or self.response is None or not self.request.at:
            return 0.0
        return max(0.0, self.response.at - self.request.at)


def has_content(messages: tuple[Message, ...] | tuple[Choice, ...]) -> bool:
    """Return whether a message has text, an image or a file; the name of a called tool is no content."""
    return any(part.text or isinstance(part, UriPart | BlobPart) for message in messages for part in message.parts)


def without_invalid_numbers(exchange: ReportedExchange) -> tuple[ReportedExchange, list[str]]:
    """Return `exchange` without numbers that a record cannot contain, and a message per omitted number; all text is kept.

    Raises UnreadablePayload if a name is longer than 256 characters or has a control character, or if there are too many messages and parts.
    """
    request, response, left_out = exchange.request, exchange.response, list[str]()
    _check_names(request, response)
    _check_items(request, response)
    if request is not None:
        request = msgspec.structs.replace(request, parameters=_kept(request.parameters, MIN_INT64, MAX_INT64, left_out))
    if response is not None:
        usage = Usage(**_kept(msgspec.structs.asdict(response.usage), 0, MAX_COUNT, left_out))
        response = msgspec.structs.replace(response, usage=usage)
    return msgspec.structs.replace(exchange, request=request, response=response), left_out


def _check_names(*halves: ReportedRequest | ReportedResponse | None) -> None:
    for half in halves:
        for field in ("model", "model_version"):
            name: str = getattr(half, field, "")
            if len(name) > NAME_CHARACTERS:
                raise UnreadablePayload(
                    f"{field} has {len(name)} characters, the limit is {NAME_CHARACTERS}; shorten it"
                )
            if control := _CONTROL.search(name):  # the keys of streams are joined with such a character
                raise UnreadablePayload(f"{field} has the control character {control[0]!r}; remove it")


def _check_items(request: ReportedRequest | None, response: ReportedResponse | None) -> None:
    messages = (*(request.messages if request else ()), *(response.choices if response else ()))
    items = len(request.tools if request else ()) + sum(1 + len(message.parts) for message in messages)
    if items > MAX_ITEMS:
        raise UnreadablePayload(
            f"the messages, choices and tools are {items} items with their parts, the limit is {MAX_ITEMS}; send fewer"
        )


def _kept(values: dict[str, Any], least: int, most: int, left_out: list[str]) -> dict[str, Any]:
    """Return `values` without the integers that are out of range; add a message for each to `left_out`."""
    wrong = [name for name, value in values.items() if isinstance(value, int) and not least <= value <= most]
    left_out += [
        f"{name} is {_shown(values[name])} and is left out; it must be from {least} to {most}" for name in wrong
    ]
    return {name: value for name, value in values.items() if name not in wrong}


def _shown(number: int) -> str:
    digits = len(str(abs(number)))
    return str(number) if digits <= _SHOWN_DIGITS else f"a number of {digits} digits"


def error_kind(value: Any) -> str:
    """Return `value` if it is the name of an error's class, else ``unknown``."""
    return value if isinstance(value, str) and _ERROR_TYPE.fullmatch(value) else "unknown"


def valid_time(seconds: float) -> float:
    """Return `seconds` if it is a valid time (from the year 2000 until 2096), else 0.0, which means unknown."""
    return float(seconds) if EARLIEST_SECONDS <= seconds < LATEST_SECONDS else 0.0


#: Used for a missing response, because KServe's logger reports only responses of status 200.
_NO_RESPONSE = ReportedResponse(status="error", error=ErrorInfo(kind="no_answer_told", status=502))


def identity_of(tenant: str, *parts: str) -> str:
    """Return the identity of an exchange: a hash of the tenant and of the ids that the other gateway sent."""
    return blake2b("\x1f".join((tenant, *parts)).encode(), digest_size=_ID_BYTES).hexdigest()


def records_of(exchange: ReportedExchange, expected: ExpectedVerdicts) -> tuple[RequestRecord, ResponseRecord]:
    """Return the request and response records; a missing response becomes an error. Without text, no verdict is expected.

    Other gateways may not report the declared tools. The detector ``tools`` is expected for an answer only if they are known.
    """
    request, response = exchange.request or ReportedRequest(), exchange.response or _NO_RESPONSE
    common: dict[str, Any] = {
        "request_id": str(uuid.UUID(hex=exchange.identity)),  # the same for a retry, which is deduplicated
        "tenant": exchange.origin.tenant,
        "principal": exchange.origin.principal,
        "conversation_id": exchange.origin.conversation,
        "model": request.model or response.model or "unknown",
        "model_version": request.model_version,
        "operation": request.operation,
        "stream": request.stream,
    }
    begin = RequestRecord(
        **common,
        messages=request.messages,
        tools=request.tools,
        parameters=request.parameters,
        training=request.training,
        owed=owed_detectors(expected.input, request.messages),
    )
    known = response.status == "complete" and bool(request.tools)
    instructed = has_instructions(request.messages)
    owed = owed_detectors(expected.output, response.choices, calls_complete=known, instructed=instructed)
    end = ResponseRecord(
        **common,
        status=response.status,
        messages=response.choices,
        usage=response.usage,
        latency_seconds=exchange.seconds,
        time_to_first_token_seconds=response.first_at - request.at if 0 < request.at <= response.first_at else None,
        error=response.error,
        **for_detectors(owed, request.messages, request.tools, response.choices, expected),
    )
    return begin, end
