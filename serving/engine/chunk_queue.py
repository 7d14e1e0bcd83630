"""A queue of chunks between an engine's thread and the coroutine that reads them."""

import asyncio
from collections import deque
from collections.abc import Sequence

from serving.engine.errors import EngineError, PromptRejectedError
from serving.engine.protocol import Chunk, Sampling, joined


class Inbox:
    """A queue that is read in one event loop. Any thread may call `send`; chunks that wait for a slow reader are joined."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[Chunk] = deque()
        self._error: EngineError | None = None
        self._ready = asyncio.Event()

    def send(self, item: Chunk | EngineError) -> bool:
        """Pass a chunk, or the error that ends the answer; return False if the reader's event loop is closed."""
        try:
            self._loop.call_soon_threadsafe(self.put, item)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def put(self, item: Chunk | EngineError) -> None:
        """Pass a chunk or an error; only the event loop's thread may call this."""
        if isinstance(item, Chunk):
            self._chunks.append(item)
        elif self._error is None:  # the first one is the cause
            self._error = item
        self._ready.set()

    async def get(self) -> Chunk:
        """Wait for chunks and return them as one; raises the error that was passed."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            self._ready.clear()
            await self._ready.wait()
        chunks = list(self._chunks)
        self._chunks.clear()
        return joined(chunks)


def check_prompt(prompt: Sequence[int], sampling: Sampling, context_length: int) -> None:
    """Raise PromptRejectedError if the prompt is empty, `max_tokens` is too small, or prompt plus `max_tokens` exceed `context_length`."""
    if not prompt:
        raise PromptRejectedError("the prompt is empty: send at least one token")
    least = 0 if sampling.prompt_logprobs else 1
    if sampling.max_tokens < least:
        raise PromptRejectedError(f"max_tokens is {sampling.max_tokens}: ask for at least {least}")
    if len(prompt) + sampling.max_tokens > context_length:
        raise PromptRejectedError(
            f"{len(prompt)} prompt tokens and max_tokens {sampling.max_tokens} exceed the model's context of "
            f"{context_length} tokens: shorten the prompt or lower max_tokens"
        )
