"""The protocol of engines, which generate chunks of text from prompt tokens, for many requests at once."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

FinishReason = Literal["stop", "length"]
#: Features that an engine may support beyond the sampling parameters that every engine supports. `reasoning`: the model may write its
#: reasoning between tags.
EngineFeature = Literal[
    "tools", "json_schema", "logprobs", "top_logprobs", "logit_bias", "prompt_logprobs", "reasoning"
]


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """The sampling parameters of one request, with the meaning that they have in OpenAI's API.

    Parameters
    ----------
    max_tokens
        Maximum number of tokens to generate, at least 1; with `prompt_logprobs`, at least 0.
    temperature
        In [0, 2]. With 0, each token is the most likely token.
    top_p
        In (0, 1]. Each token is drawn from the smallest set of most likely tokens whose total probability is at least `top_p`.
    seed
        Seed of the random numbers, for reproducible answers. None: each request has its own random seed.
    stop
        Strings that end the answer; the answer never contains them.
    frequency_penalty, presence_penalty
        In [-2, 2]. They apply to the tokens that were generated before.
    logit_bias
        (token, bias) with the bias in [-100, 100], which is added to the token's logit. Feature `logit_bias`.
    logprobs
        None: chunks have no log-probabilities. Otherwise the number of most likely tokens to list for each token: 0 needs the feature
        `logprobs`, more needs `top_logprobs`.
    prompt_logprobs
        Whether the first chunk has the log-probabilities of the prompt's tokens. Feature `prompt_logprobs`.
    json_schema
        A JSON Schema as text that the answer fits, or "". Feature `json_schema`.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    prompt_logprobs: bool = False
    json_schema: str = ""


class TokenLogprob(msgspec.Struct, frozen=True):
    """The text and the natural logarithm of the probability of a token; `top` are the most likely tokens at its position.

    `at` is the character of the prompt or of the answer at which the token begins; tokens of the same character have the same. The first token of a
    prompt has no probability.
    """

    token: str
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()
    at: int = 0


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the answer.

    `text` contains only complete characters and may be empty. The token counts are totals of the answer up to this chunk, so the usage of a cancelled
    request is known too. Only the last chunk has a `finish_reason`. `logprobs` has an entry for each token whose text begins in `text`, but none for
    the end token and the tokens of a stop string. Exception: with `prompt_logprobs`, the last entry is for the end token, because evaluation tools
    ignore the last entry.
    """

    text: str
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Join consecutive chunks into one chunk."""
    if len(chunks) == 1:
        return chunks[0]
    return msgspec.structs.replace(
        chunks[-1],
        text="".join(chunk.text for chunk in chunks),
        logprobs=tuple(token for chunk in chunks for token in chunk.logprobs),
        prompt_logprobs=tuple(token for chunk in chunks for token in chunk.prompt_logprobs),
    )


class EngineStats(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of an engine's requests and slots now, and token totals since its start."""

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
        """Name of the implementation: `openvino`, `transformers` or `echo`."""

    @property
    def model_version(self) -> str:
        """Version of the weights: the short form of their digest."""

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of prompt and answer together."""

    @property
    def features(self) -> frozenset[EngineFeature]:
        """The features that the engine supports with this model; complete after `load`."""

    @property
    def running(self) -> bool:
        """Whether the engine can generate; false before `load`, and after a failure that needs a new process."""

    def load(self) -> None:
        """Load weights and tokenizer, which takes seconds; further calls have no effect."""

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Return the tokens of messages, with the chat template's prefix of the answer at the end.

        Messages and tools have OpenAI's fields; `content` is a string. Raises PromptRejectedError.
        """

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a plain prompt."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens` without special tokens; an incomplete character becomes U+FFFD or is left out."""

    def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Generate the chunks of an answer; closing or cancelling the iterator frees the request's slot.

        The caller checks the size: `prompt` has a token, and with `max_tokens` at most `context_length`.

        Raises
        ------
        SchemaRejectedError
            At the first iteration: the engine cannot follow `json_schema`.
        GenerationFailedError, EngineClosedError
            At any iteration.
        """

    async def close(self) -> None:
        """Stop the engine; running requests raise `EngineClosedError`."""

    def stats(self) -> EngineStats:
        """Return the numbers of requests and slots, and the token totals."""
