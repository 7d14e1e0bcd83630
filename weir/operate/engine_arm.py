"""Answers and likelihoods of model files by the engine that serves them."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from serving.engine.errors import PromptRejectedError
from serving.engine.factory import create_engine
from serving.engine.gguf_file import check_whole, context_length
from serving.engine.protocol import Chunk, Engine, Sampling, joined
from serving.settings import ModelSettings
from stream.errors import GateError
from stream.loop.cases import template_error
from stream.loop.sequential import Arm

Messages = list[dict[str, str]]
_LONGEST_PROMPT = 1024


class ServedFile:
    """A GGUF file in the engine ``openvino``, as a replica on a CPU serves it. All requests of a call run in one batch.

    Raises EngineError if the file is not complete or cannot be loaded, and later GateError if its chat template rejects a prompt, or a prompt and
    its answer exceed the model's context.
    """

    def __init__(self, file: Path, *, slots: int = 16, exact: bool = False) -> None:
        check_whole(file)
        self._file = file
        dtype = "float32" if exact else "auto"
        settings = ModelSettings(
            engine="openvino", device="cpu", dtype=dtype, slots=slots, max_length=context_length(file)
        )
        self._engine: Engine = create_engine(settings, file)
        self._engine.load()

    def answers(self, conversations: Sequence[Messages], max_tokens: int) -> list[str]:
        """Return the greedy answer to each conversation."""
        return [text.strip() for text, _ in self._generated(conversations, max_tokens)]

    def tokens(self, conversations: Sequence[Messages], max_tokens: int) -> int:
        """Generate a greedy answer to each conversation at the same time, and return the number of generated tokens."""
        return sum(count for _, count in self._generated(conversations, max_tokens))

    def loss(self, pairs: Sequence[tuple[Messages, str]], max_tokens: int) -> list[float]:
        """Return for each (conversation, answer) the mean negative log-likelihood of the answer's first tokens, in nats."""
        rows = [(self._prompt(messages), self._engine.encode(text)[:max_tokens]) for messages, text in pairs]
        return asyncio.run(self._losses(rows))

    def _prompt(self, messages: Messages) -> list[int]:
        try:
            return self._engine.encode_chat(messages)[-_LONGEST_PROMPT:]
        except PromptRejectedError as error:
            raise template_error(self._file, str(error)) from error

    def _generated(self, conversations: Sequence[Messages], max_tokens: int) -> list[tuple[str, int]]:
        """Return (answer, number of its tokens) for each conversation."""
        prompts = [self._prompt(messages) for messages in conversations]
        return asyncio.run(self._all(prompts, Sampling(max_tokens=max_tokens, temperature=0.0)))

    async def _all(self, prompts: Sequence[list[int]], sampling: Sampling) -> list[tuple[str, int]]:
        async def one(prompt: list[int]) -> tuple[str, int]:
            chunk = await self._run(prompt, sampling)
            return chunk.text, chunk.completion_tokens

        return await asyncio.gather(*(one(prompt) for prompt in prompts))

    async def _losses(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        sampling = Sampling(max_tokens=0, logprobs=0, prompt_logprobs=True)

        async def one(prompt: list[int], answer: list[int]) -> float:
            if not answer:
                return 0.0
            chunk = await self._run(prompt + answer, sampling)
            found = [entry.logprob or 0.0 for entry in chunk.prompt_logprobs[-len(answer) :]]
            return -sum(found) / len(found)

        return await asyncio.gather(*(one(prompt, answer) for prompt, answer in rows))

    async def _run(self, prompt: list[int], sampling: Sampling) -> Chunk:
        tokens, limit = len(prompt) + sampling.max_tokens, self._engine.context_length
        if tokens > limit:
            raise GateError(
                f"{self._file} cannot be compared: a prompt and its answer have {tokens} tokens, and its context has {limit}; "
                "use a model with a longer context"
            )
        return joined([chunk async for chunk in self._engine.generate(prompt, sampling)])

    def close(self) -> None:
        """Stop the engine and free its memory."""
        asyncio.run(self._engine.close())


class EngineArms:
    """Champion and challenger as two served files; see :class:`stream.loop.gate.triggers.BothArms`."""

    def __init__(self, files: Mapping[Arm, Path], *, exact: bool = False) -> None:
        self._served = {arm: ServedFile(file, exact=exact) for arm, file in files.items()}

    def answers(self, arm: Arm, conversations: Sequence[Messages], max_tokens: int) -> list[str]:
        """Return the greedy answers of `arm`."""
        return self._served[arm].answers(conversations, max_tokens)

    def loss(self, arm: Arm, pairs: Sequence[tuple[Messages, str]], max_tokens: int) -> list[float]:
        """Return the mean negative log-likelihood per token of each answer by `arm`."""
        return self._served[arm].loss(pairs, max_tokens)
