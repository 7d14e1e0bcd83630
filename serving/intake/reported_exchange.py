"""One inference that another gateway served, as it was told: what was asked, and what came of it."""

import uuid
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from serving.inference_records import context_of
from serving.intake.errors import Unreadable
from stream.wire import (
    MAX_COUNT,
    MAX_INT64,
    MIN_INT64,
    ErrorInfo,
    Message,
    RequestRecord,
    ResponseRecord,
    Usage,
)

__all__ = [
    "LATEST_SECONDS",
    "Answered",
    "Asked",
    "Owed",
    "Sender",
    "Told",
    "checked",
    "identity_of",
    "moment",
    "parameters_of",
    "records_of",
    "request_id_of",
]

Parameters = dict[str, float | int | str | list[str] | None]
_PARAMETERS = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "frequency_penalty")
_ID_BYTES = 16
#: As at the gateway; every segment of the spool repeats the names of a request until its end.
_NAME_CHARACTERS = 256
#: Digits of a number that a message repeats.
_DIGITS = 24
#: The year 2096: OTLP holds a span's nanoseconds in 64 bits, and one that does not fit costs its whole batch.
LATEST_SECONDS = 4e9


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent it: the key's tenant, the key's id (and whom its gateway named), the conversation, the trace."""

    tenant: str
    principal: str
    conversation: str = ""
    traceparent: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of which model. `at` is when, in seconds since the epoch, or 0 where nobody said."""

    model: str = ""
    model_version: str = ""
    operation: str = "chat"
    stream: bool = False
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    parameters: Parameters = {}
    at: float = 0.0


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `at` is when it ended, `first_at` when the first token came; 0 where nobody said."""

    model: str = ""
    status: Literal["complete", "error"] = "complete"
    text: str = ""
    finish_reason: str | None = None
    usage: Usage = Usage()
    error: ErrorInfo | None = None
    at: float = 0.0
    first_at: float = 0.0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange, whole or the half that came: `identity` is its own, whoever repeats it."""

    identity: str
    sender: Sender
    asked: Asked | None = None
    answered: Answered | None = None

    @property
    def whole(self) -> bool:
        """Whether both halves are here."""
        return self.asked is not None and self.answered is not None

    @property
    def seconds(self) -> float:
        """How long it took, as far as it was told."""
        if self.asked is None or self.answered is None or not self.asked.at:
            return 0.0
        return max(0.0, self.answered.at - self.asked.at)


def checked(told: Told) -> tuple[Told, list[str]]:
    """Return `told` without the numbers that a record cannot contain, and a message for each.

    A number says little and a text much, so one that is out of its range costs the exchange nothing else.

    Raises
    ------
    Unreadable
        A name is longer than 256 characters.
    """
    asked, answered, left_out = told.asked, told.answered, list[str]()
    _check_names(asked, answered)
    if asked is not None:
        asked = msgspec.structs.replace(asked, parameters=_kept(asked.parameters, MIN_INT64, MAX_INT64, left_out))
    if answered is not None:
        usage = Usage(**_kept(msgspec.structs.asdict(answered.usage), 0, MAX_COUNT, left_out))
        answered = msgspec.structs.replace(answered, usage=usage)
    return msgspec.structs.replace(told, asked=asked, answered=answered), left_out


def _check_names(*halves: Asked | Answered | None) -> None:
    for half in halves:
        for field in ("model", "model_version"):
            size = len(getattr(half, field, ""))
            if size > _NAME_CHARACTERS:
                raise Unreadable(f"{field} has {size} characters; at most {_NAME_CHARACTERS} are taken")


def _kept(values: dict[str, Any], least: int, most: int, left_out: list[str]) -> dict[str, Any]:
    """Return `values` without the integers that are out of range; add a message for each to `left_out`."""
    strange = [name for name, value in values.items() if isinstance(value, int) and not least <= value <= most]
    left_out += [
        f"{name} is {_shown(values[name])}; from {least} to {most} is taken, so it is left out" for name in strange
    ]
    return {name: value for name, value in values.items() if name not in strange}


def _shown(number: int) -> str:
    digits = len(str(abs(number)))
    return str(number) if digits <= _DIGITS else f"a number of {digits} digits"


def moment(seconds: float) -> float:
    """Return a time that a clock may show, else 0.0, as if nobody had said when."""
    return float(seconds) if 0 < seconds < LATEST_SECONDS else 0.0


#: The end of what no answer was told of: KServe's logger tells of none that is not 200.
_UNANSWERED = Answered(status="error", error=ErrorInfo(kind="no_answer_told", status=502))


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """What is owed of a text, as the gateway sets it: detectors of prompts and of answers, and the context that answers carry."""

    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    context_characters: int = 0


def identity_of(tenant: str, *parts: str) -> str:
    """Return the identity of an exchange: a hash of the tenant and of how its gateway names it."""
    return blake2b("\x1f".join((tenant, *parts)).encode(), digest_size=_ID_BYTES).hexdigest()


def request_id_of(identity: str) -> str:
    """Return the request id of an exchange: the same whenever it is told again, so that a repeat changes nothing."""
    return str(uuid.UUID(hex=identity))


def parameters_of(body: dict[str, object]) -> Parameters:
    """Return the sampling parameters of `body` that Weir records."""
    found = {name: body[name] for name in _PARAMETERS if name in body}
    return {name: value for name, value in found.items() if isinstance(value, int | float) or value is None}


def records_of(told: Told, owed: Owed) -> tuple[RequestRecord, ResponseRecord]:
    """Return the two records of an exchange; what was not told is empty, and nothing is owed where there is no text."""
    asked, answered = told.asked or Asked(), told.answered or _UNANSWERED
    common: dict[str, Any] = {
        "request_id": request_id_of(told.identity),
        "tenant": told.sender.tenant,
        "principal": told.sender.principal,
        "conversation_id": told.sender.conversation,
        "model": asked.model or answered.model or "unknown",
        "model_version": asked.model_version,
        "operation": asked.operation,
        "stream": asked.stream,
    }
    request = RequestRecord(**common, messages=asked.messages, prompt=asked.prompt, parameters=asked.parameters)
    context = context_of(asked.messages or (Message(role="user", content=asked.prompt),), owed.context_characters)
    response = ResponseRecord(
        **common,
        status=answered.status,
        text=answered.text,
        context=context if answered.text else (),
        finish_reason=answered.finish_reason,
        usage=answered.usage,
        latency_seconds=told.seconds,
        time_to_first_token_seconds=_first_token(asked, answered),
        error=answered.error,
        owed=owed.output if answered.text else (),
    )
    return msgspec.structs.replace(request, owed=owed.input if request.text() else ()), response


def _first_token(asked: Asked, answered: Answered) -> float | None:
    return max(0.0, answered.first_at - asked.at) if asked.at and answered.first_at else None
