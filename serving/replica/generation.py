"""The messages between a gateway and a model replica: a generation request, its chunks, or its rejection."""

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from serving.engine.protocol import Chunk, EngineStats
from stream.wire import MAX_COUNT

__all__ = ["Backend", "Generation", "ModelInfo", "RejectedRequest", "ReplicaLost", "with_valid_counts"]


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """The model's input; exactly one of `messages` and `prompt` is not empty.

    Parameters
    ----------
    messages
        (role, content) of each message.
    max_tokens
        Maximum number of tokens of the answer; None: all that fit into the context, but at most `default_max_tokens`.
    stream
        Whether the client receives the answer during the generation; if not, chunks are larger and fewer.
    """

    messages: tuple[tuple[str, str], ...] = ()
    prompt: str = ""
    max_tokens: int | None = None
    default_max_tokens: int = 1024
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    stream: bool = False

    @property
    def characters(self) -> int:
        """Number of characters of the input; long inputs are tokenised in a thread."""
        return len(self.prompt) + sum(len(content) for _, content in self.messages)


def with_valid_counts(chunk: Chunk) -> Chunk:
    """Return `chunk` with 0 instead of an invalid token count (negative, too large, no integer), which a record cannot contain."""
    counts = {"prompt_tokens": chunk.prompt_tokens, "completion_tokens": chunk.completion_tokens}
    wrong = {name: 0 for name, number in counts.items() if not _is_count(number)}
    return msgspec.structs.replace(chunk, **wrong) if wrong else chunk


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number <= MAX_COUNT


class RejectedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The error of a request that the replica did not finish; `message` contains no text of the request."""

    code: str
    status: int
    message: str


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a replica, and the replica's load."""

    engine: str
    version: str
    context_length: int
    stats: EngineStats = EngineStats()


class ReplicaLost(Exception):
    """The replica died or cannot be reached; `kind` is the name of the error class."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Backend(Protocol):
    """The interface through which a gateway calls the model replicas."""

    async def describe(self) -> ModelInfo:
        """Return the model description; raises ReplicaLost if no replica answers."""

    def generate(self, generation: Generation) -> AsyncGenerator[Chunk | RejectedRequest, None]:
        """Generate an answer. After a `RejectedRequest` no item follows. Closing the iterator frees the slot. Raises ReplicaLost."""

    def capacity(self) -> int:
        """Return how many requests, running or queued, this gateway may have on all replicas at the same time."""
