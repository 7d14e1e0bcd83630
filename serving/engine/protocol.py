"""The protocol of engines: prompt tokens in, chunks of text out, many requests at once."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

__all__ = ["Chunk", "Engine", "EngineStats", "FinishReason", "Sampling", "joined"]

FinishReason = Literal["stop", "length"]


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How to choose the tokens of one request; the meaning of each field is OpenAI's.

    Parameters
    ----------
    max_tokens
        Most tokens to generate, at least 1.
    temperature
        In [0, 2]. 0 takes the most likely token each time.
    top_p
        In (0, 1]. The smallest set of tokens whose probability reaches it is drawn from.
    seed
        Makes the draw repeatable; without it each request draws differently.
    stop
        Strings that end the text; none of them is ever part of it.
    frequency_penalty, presence_penalty
        In [-2, 2], over the tokens generated so far.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the answer.

    `text` has whole characters only and may be empty; the token counts are cumulative, so that a cancelled request's usage is known too.
    The last chunk, and only it, has a `finish_reason`.
    """

    text: str
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Return consecutive chunks as one."""
    return msgspec.structs.replace(chunks[-1], text="".join(chunk.text for chunk in chunks))


class EngineStats(msgspec.Struct, frozen=True, kw_only=True):
    """The load of an engine; the totals only grow."""

    running: int = 0
    waiting: int = 0
    slots: int = 0
    prompt_tokens_total: int = 0
    completion_tokens_total: int = 0


@runtime_checkable
class Engine(Protocol):
    """Generates text for many requests at once."""

    @property
    def name(self) -> str:
        """The implementation: `openvino`, `transformers`, `echo`."""

    @property
    def model_version(self) -> str:
        """A short version made from the digest of the weights."""

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer together."""

    def load(self) -> None:
        """Load weights and tokenizer; takes seconds. Idempotent."""

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Return the tokens of a conversation (messages with `role` and `content`) up to the assistant's turn."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a plain prompt."""

    def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Generate; closing or cancelling the iterator frees its slot.

        Raises
        ------
        PromptRejectedError
            At the first step: the prompt is empty, or with `max_tokens` longer than `context_length`.
        GenerationFailedError, EngineClosedError
            At any step.
        """

    async def close(self) -> None:
        """Stop; requests still running raise `EngineClosedError`."""

    def stats(self) -> EngineStats:
        """Return the load and the totals."""
