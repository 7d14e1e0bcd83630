"""A model replica: an engine behind a queue of bounded length. It knows nothing of Ray; `serving.deployments` deploys it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serving.engine.errors import EngineError, PromptRejectedError
from serving.engine.protocol import Engine, Sampling
from serving.replica.coalesce import coalesced
from serving.replica.generation import Generation, ModelInfo, Piece, Refusal

__all__ = ["ModelServer"]

#: How long text is held, so that a trip to the gateway carries more than a token: unseen by a reader, and where nobody
#: reads along, long.
_STREAM_HOLD_SECONDS = 0.02
_WHOLE_HOLD_SECONDS = 0.25
#: Longer texts are tokenised beside the event loop.
_LONG_CHARACTERS = 8_192


class ModelServer:
    """Generates with one engine.

    Parameters
    ----------
    engine
        Loaded by :meth:`load`.
    most_held
        Requests that run and wait, at most; more are refused with 503.
    max_length
        Tokens of prompt and answer together, at most; the engine's own limit may be lower.
    """

    def __init__(self, engine: Engine, *, most_held: int, max_length: int) -> None:
        self._engine = engine
        self._most_held = most_held
        self._max_length = max_length
        self._held = 0

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer together."""
        return min(self._engine.context_length, self._max_length)

    async def load(self) -> None:
        """Load the weights, beside the event loop."""
        await asyncio.to_thread(self._engine.load)

    async def close(self) -> None:
        """End what runs."""
        await self._engine.close()

    def describe(self) -> ModelInfo:
        """Return what is served, and how it is doing."""
        engine = self._engine
        return ModelInfo(
            engine=engine.name,
            version=engine.model_version,
            context_length=self.context_length,
            stats=engine.stats(),
        )

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece | Refusal, None]:
        """Generate: pieces of text, the last with a finish reason; or a refusal. Closing it frees the slot."""
        if self._held >= self._most_held:
            yield Refusal(
                code="queue_full",
                status=503,
                message=f"{self._held} requests run and wait, the most that a replica holds; try again in a second.",
            )
            return
        self._held += 1
        try:
            async with aclosing(self._run(generation)) as pieces:
                async for piece in pieces:
                    yield piece
        except PromptRejectedError as error:
            yield Refusal(code="context_length_exceeded", status=400, message=str(error))
        except EngineError as error:
            yield Refusal(code="generation_failed", status=503, message=str(error))
        finally:
            self._held -= 1

    async def _run(self, generation: Generation) -> AsyncGenerator[Piece | Refusal, None]:
        prompt = await self._encode(generation)
        room = self.context_length - len(prompt)
        if not prompt or room < (generation.max_tokens or 1):
            yield self._refusal(len(prompt), generation)
            return
        sampling = Sampling(
            max_tokens=generation.max_tokens or min(generation.default_max_tokens, room),
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=generation.seed,
            stop=generation.stop,
            frequency_penalty=generation.frequency_penalty,
            presence_penalty=generation.presence_penalty,
        )
        hold = _STREAM_HOLD_SECONDS if generation.stream else _WHOLE_HOLD_SECONDS
        async with aclosing(coalesced(self._engine.generate(prompt, sampling), hold)) as pieces:
            async for piece in pieces:
                yield piece

    def _refusal(self, prompt_tokens: int, generation: Generation) -> Refusal:
        if not prompt_tokens:
            return Refusal(code="invalid_value", status=400, message="The prompt has no tokens; send some text.")
        asked = f" and {generation.max_tokens} were asked for" if generation.max_tokens else ""
        return Refusal(
            code="context_length_exceeded",
            status=400,
            message=(
                f"The prompt has {prompt_tokens} tokens{asked}; together at most {self.context_length} fit."
                " Shorten the prompt or ask for fewer tokens."
            ),
        )

    async def _encode(self, generation: Generation) -> list[int]:
        if generation.characters > _LONG_CHARACTERS:
            return await asyncio.to_thread(self._encode_now, generation)
        return self._encode_now(generation)

    def _encode_now(self, generation: Generation) -> list[int]:
        if generation.messages:
            return self._engine.encode_chat([{"role": role, "content": text} for role, text in generation.messages])
        return self._engine.encode(generation.prompt)
