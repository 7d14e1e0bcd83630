"""What a gateway and a model replica exchange: a generation, the chunks of its answer, and why there is none."""

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
        None: as many as fit into the context, up to `default_max_tokens`.
    stream
        Whether the client reads while the model writes; if not, chunks are larger and fewer.
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
        """Length of the input, from which the time to tokenise it is estimated."""
        return len(self.prompt) + sum(len(content) for _, content in self.messages)


def with_valid_counts(chunk: Chunk) -> Chunk:
    """Return `chunk` with 0 for a token count that no record can contain: an engine, or a server behind it, may count wrongly."""
    counts = {"prompt_tokens": chunk.prompt_tokens, "completion_tokens": chunk.completion_tokens}
    wrong = {name: 0 for name, number in counts.items() if not _is_count(number)}
    return msgspec.structs.replace(chunk, **wrong) if wrong else chunk


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number <= MAX_COUNT


class RejectedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The replica did not finish a request: `code` and `status` of the API's error, and a message without text of the request."""

    code: str
    status: int
    message: str


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A replica's model, and its load."""

    engine: str
    version: str
    context_length: int
    stats: EngineStats = EngineStats()


class ReplicaLost(Exception):
    """The replica died or cannot be reached; `kind` is the class of the error that was seen."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Backend(Protocol):
    """The model replicas, as a gateway uses them."""

    async def describe(self) -> ModelInfo:
        """Return the model; raises ReplicaLost if no replica answers."""

    def generate(self, generation: Generation) -> AsyncGenerator[Chunk | RejectedRequest, None]:
        """Generate; a `RejectedRequest` is the last item. Closing the iterator frees the replica's slot. Raises ReplicaLost."""

    def capacity(self) -> int:
        """Return how many requests the replicas accept together, running and waiting."""
