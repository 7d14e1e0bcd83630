"""An engine without a model: its answer is the prompt. Benchmarks use it to measure everything except the model.

Each word is one token; the token is an integer made of the word's bytes.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from serving.engine.errors import CLOSED, EngineClosedError
from serving.engine.protocol import Chunk, EngineFeature, EngineStats, Sampling
from serving.engine.text_stream import StopStrings

_WORD = re.compile(r"\s*\S+|\s+$")


class EchoEngine:
    """Answers with the first `max_tokens` words of the prompt; `context_length` is the limit of prompt and answer together, in tokens."""

    name = "echo"
    model_version = "echo"
    features: frozenset[EngineFeature] = frozenset()

    def __init__(self, context_length: int = 8192) -> None:
        self.context_length = context_length
        self._closed = False
        self._running = 0
        self._prompt_total = 0
        self._completion_total = 0

    @property
    def running(self) -> bool:
        """Whether the engine is not closed."""
        return not self._closed

    def load(self) -> None:
        """Do nothing."""

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Return the words of all messages as tokens."""
        del tools
        return self.encode("\n".join(message["content"] for message in messages))

    def encode(self, text: str) -> list[int]:
        """Return the words of a text as tokens; each word includes the spaces before it."""
        return [int.from_bytes(b"\1" + word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text)]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return "".join(map(_word, tokens))

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Yield the prompt, one word per chunk; other tasks can run between two chunks.

        Raises EngineClosedError.
        """
        if self._closed:
            raise EngineClosedError(CLOSED)
        self._prompt_total += len(prompt)
        self._running += 1
        stop, said = StopStrings(sampling.stop), 0
        try:
            for token in prompt[: sampling.max_tokens]:
                if self._closed:
                    raise EngineClosedError(CLOSED)
                said += 1
                self._completion_total += 1
                text = stop.push(_word(token))
                if stop.stopped or said == len(prompt) or said == sampling.max_tokens:
                    ended = stop.stopped or said == len(prompt)
                    yield Chunk(
                        text=text + stop.flush(),
                        finish_reason="stop" if ended else "length",
                        prompt_tokens=len(prompt),
                        completion_tokens=said,
                    )
                    return
                yield Chunk(text=text, prompt_tokens=len(prompt), completion_tokens=said)
                await asyncio.sleep(0)
        finally:
            self._running -= 1

    async def close(self) -> None:
        """End all generations."""
        self._closed = True

    def stats(self) -> EngineStats:
        """Return the numbers of requests and slots, and the token totals."""
        return EngineStats(
            running=self._running,
            prompt_tokens_total=self._prompt_total,
            completion_tokens_total=self._completion_total,
        )


def _word(token: int) -> str:
    data = token.to_bytes((token.bit_length() + 7) // 8)
    return data[1:].decode("utf-8", "surrogatepass")
