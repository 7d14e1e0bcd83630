"""What passes between a gateway and a model replica: one generation, and the pieces of its answer."""

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from serving.engine.protocol import EngineStats, FinishReason
from stream.wire import MAX_COUNT

__all__ = ["Backend", "Generation", "ModelInfo", "Piece", "Refusal", "ReplicaLost", "counted"]


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the model is given it; exactly one of `messages` and `prompt` is there.

    Parameters
    ----------
    messages
        (role, content) of each message.
    max_tokens
        None: what is left of the context, at most `default_max_tokens`.
    stream
        Whether the client reads while the model writes; if not, pieces are larger and fewer.
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
        """Length of what the model is given, to judge how long it takes to tokenise."""
        return len(self.prompt) + sum(len(content) for _, content in self.messages)


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Text since the last piece, and the tokens so far; the last piece, and only it, has a `finish_reason`."""

    text: str
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


def counted(piece: Piece) -> Piece:
    """Return `piece` with 0 for a token count that no record can contain, whatever an engine, or the server behind it, counts."""
    counts = {"prompt_tokens": piece.prompt_tokens, "completion_tokens": piece.completion_tokens}
    if all(_is_count(number) for number in counts.values()):
        return piece
    return msgspec.structs.replace(piece, **{name: n if _is_count(n) else 0 for name, n in counts.items()})


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number <= MAX_COUNT


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The replica will not, or could not, finish: `code` is a word of the API's errors, `message` never holds text."""

    code: str
    status: int
    message: str


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica serves, and how it is doing."""

    engine: str
    version: str
    context_length: int
    stats: EngineStats = EngineStats()


class ReplicaLost(Exception):
    """The replica died, or cannot be reached, while it held the request; `kind` is the class of what was seen."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Backend(Protocol):
    """Where a gateway's generations run."""

    async def describe(self) -> ModelInfo:
        """Return what is served; raises ReplicaLost where no replica answers."""

    def generate(self, generation: Generation) -> AsyncGenerator[Piece | Refusal, None]:
        """Generate; closing the iterator frees the replica's slot. A `Refusal` is the last item. Raises ReplicaLost."""

    def capacity(self) -> int:
        """Return how many requests the replicas hold together, running and waiting."""
