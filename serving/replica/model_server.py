"""A model replica: an engine behind a bounded queue. Independent of Ray; `serving.deployments` deploys it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serving.engine.errors import EngineError, PromptRejectedError
from serving.engine.protocol import Chunk, Engine, Sampling
from serving.replica.coalesce import coalesced
from serving.replica.generation import Generation, ModelInfo, RejectedRequest

__all__ = ["ModelServer"]

#: How long text is held to be sent in one chunk: unnoticeable while a client reads, longer if it reads only the whole.
_STREAM_HOLD_SECONDS = 0.02
_WHOLE_HOLD_SECONDS = 0.25
#: Longer inputs are tokenised in a thread, since they would block the event loop.
_LONG_CHARACTERS = 8_192


class ModelServer:
    """Generates with one engine.

    Parameters
    ----------
    engine
        The engine; :meth:`load` loads its model.
    max_requests
        Maximum number of running and waiting requests; further requests are rejected with 503.
    max_length
        Maximum number of tokens of prompt and answer together; the engine's own limit may be lower.
    """

    def __init__(self, engine: Engine, *, max_requests: int, max_length: int) -> None:
        self._engine = engine
        self._max_requests = max_requests
        self._max_length = max_length
        self._requests = 0

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of prompt and answer together."""
        return min(self._engine.context_length, self._max_length)

    async def load(self) -> None:
        """Load the weights in a thread, so that the event loop is not blocked."""
        await asyncio.to_thread(self._engine.load)

    async def close(self) -> None:
        """End all generations."""
        await self._engine.close()

    def describe(self) -> ModelInfo:
        """Return the model description and the load."""
        engine = self._engine
        return ModelInfo(
            engine=engine.name,
            version=engine.model_version,
            context_length=self.context_length,
            stats=engine.stats(),
        )

    async def generate(self, generation: Generation) -> AsyncGenerator[Chunk | RejectedRequest, None]:
        """Generate an answer; see :meth:`serving.replica.generation.Backend.generate`."""
        if self._requests >= self._max_requests:
            yield RejectedRequest(
                code="queue_full",
                status=503,
                message=f"{self._requests} requests run and wait, the limit of a replica; try again in a second.",
            )
            return
        self._requests += 1
        try:
            async with aclosing(self._run(generation)) as items:
                async for item in items:
                    yield item
        except PromptRejectedError as error:
            yield RejectedRequest(code="context_length_exceeded", status=400, message=str(error))
        except EngineError as error:
            yield RejectedRequest(code="generation_failed", status=503, message=str(error))
        finally:
            self._requests -= 1

    async def _run(self, generation: Generation) -> AsyncGenerator[Chunk | RejectedRequest, None]:
        prompt = await self._encode(generation)
        room = self.context_length - len(prompt)
        if not prompt or room < (generation.max_tokens or 1):
            yield self._rejected(len(prompt), generation)
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
        async with aclosing(coalesced(self._engine.generate(prompt, sampling), hold)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _rejected(self, prompt_tokens: int, generation: Generation) -> RejectedRequest:
        if not prompt_tokens:
            return RejectedRequest(
                code="invalid_value", status=400, message="The prompt has no tokens; send some text."
            )
        wanted = f" and max_tokens is {generation.max_tokens}" if generation.max_tokens else ""
        return RejectedRequest(
            code="context_length_exceeded",
            status=400,
            message=f"The prompt has {prompt_tokens} tokens{wanted}; together the limit is {self.context_length}."
            " Shorten the prompt or reduce max_tokens.",
        )

    async def _encode(self, generation: Generation) -> list[int]:
        if generation.characters > _LONG_CHARACTERS:
            return await asyncio.to_thread(self._encode_now, generation)
        return self._encode_now(generation)

    def _encode_now(self, generation: Generation) -> list[int]:
        if generation.messages:
            return self._engine.encode_chat([{"role": role, "content": text} for role, text in generation.messages])
        return self._engine.encode(generation.prompt)
