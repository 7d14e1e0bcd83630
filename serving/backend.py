"""The interface between a gateway and the engines: a request and the chunks of its answer, in OpenAI's format.

Every engine has this interface: replicas (:mod:`serving.replica`) and other OpenAI-compatible servers (:mod:`serving.upstream`).
"""

from collections.abc import AsyncGenerator
from typing import Any, Literal, Protocol

import msgspec

from serving.engine.protocol import EngineStats

#: A chunk of a streamed chat completion or completion, or the whole response of another operation, as decoded JSON. Every chunk of a
#: replica has ``usage``: the token counts up to this chunk, so that those of a cancelled request are known too.
OpenAIChunk = dict[str, Any]
Operation = Literal["chat", "text_completion", "embeddings", "responses"]
#: Features beyond plain text that a request may need; `any_field` means that the engine itself checks the fields of a request.
Feature = Literal[
    "any_field",
    "tools",
    "json_schema",
    "schema_or_tools",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "images",
    "prompt_logprobs",
    "reasoning",
]
ANY_FIELD: Feature = "any_field"
#: The key of the token counts up to a chunk, in chunks of an engine with `any_field`: the client receives them only if it requested
#: `usage` in each chunk, which then is there too.
RUNNING_USAGE = "weir.running_usage"
#: The key of the version that answers, in each chunk of a request that names a version; no client receives it.
MODEL_VERSION = "weir.model_version"
#: The types of the last event of a stream of the Responses API. A tuple: the type of an event from another server may be a value that a set
#: cannot look up.
LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed")


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A validated request; `body` is its decoded JSON, with the fields and defaults of OpenAI's API.

    If `stream` is false, the client receives nothing before the last chunk, so chunks may be fewer and larger. `version` is
    the trained version that should answer, or "" for the base version. A request in `shadow` is answered by this version or
    rejected; another request is answered by the base version if a replica has not loaded `version`.
    """

    request_id: str
    operation: Operation
    body: dict[str, Any]
    version: str = ""
    shadow: bool = False

    @property
    def stream(self) -> bool:
        """Whether the client receives the answer during the generation."""
        return self.body.get("stream") is True


def inputs_in(value: Any) -> int:
    """Return the number of texts in `prompt` or `input`: a text, a list of texts, a list of token ids or a list of such lists."""
    return len(value) if isinstance(value, list) and value and type(value[0]) is not int else 1


def answers_in(operation: Operation, body: dict[str, Any]) -> int:
    """Return the number of choices of the answer to a request, which may be unchecked: `n` for each prompt."""
    if operation not in {"chat", "text_completion"}:
        return 1
    each = n if type(n := body.get("n")) is int and n > 0 else 1
    return each * inputs_in(body.get("prompt")) if operation == "text_completion" else each


class RejectedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The error of a request that did not get its whole answer; `message` contains no text of the request.

    `param` is the name of the wrong field. `body` is another server's error response, which the client receives unchanged.
    `retry_after_seconds` is the time after which the client may try again, or None.
    """

    code: str
    status: int
    message: str
    param: str | None = None
    body: dict[str, Any] | None = None
    retry_after_seconds: int | None = None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model, and the load of the replica that described it; `context_length` is 0 if it is unknown.

    `circuit_open` is whether requests to another server are rejected, because it failed repeatedly; None for a replica.
    `versions` are the trained versions that the replica has loaded besides `version`.
    """

    engine: str
    version: str
    context_length: int
    features: frozenset[Feature] = frozenset()
    stats: EngineStats = EngineStats()
    circuit_open: bool | None = None
    versions: frozenset[str] = frozenset()


class BackendLost(Exception):
    """The replica died or cannot be reached; `kind` is the name of the error class."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Backend(Protocol):
    """Generates answers with one model."""

    async def describe(self) -> ModelInfo:
        """Return the model description; raises BackendLost if the backend does not answer."""

    def generate(self, request: ModelRequest) -> AsyncGenerator[OpenAIChunk | RejectedRequest, None]:
        """Generate an answer. After a `RejectedRequest` no item follows. Closing the iterator frees the slot. Raises BackendLost."""

    def capacity(self) -> int:
        """Return the maximum number of requests, running or queued, of this gateway."""
