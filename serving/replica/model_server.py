"""A model replica: an engine behind a bounded queue. Independent of Ray; `serving.deployments` deploys it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from serving.backend import Feature, ModelInfo, ModelRequest, OpenAIChunk, RejectedRequest
from serving.engine.errors import EngineClosedError, EngineError, PromptRejectedError, SchemaRejectedError
from serving.engine.protocol import Chunk, Engine, Sampling, joined
from serving.engine.strict_schema import check_strict
from serving.replica.choice_chunks import ChatChunks, CompletionChunks
from serving.replica.coalesce import coalesced
from serving.replica.engine_request import EngineRequest, engine_request
from serving.replica.merge import merged
from serving.replica.reasoning import ReasoningReader, is_open
from serving.replica.tool_calls import tool_call_reader
from stream.count_text import count_text

#: Seconds for which text is collected into one chunk: short for a stream, longer if the client reads only the whole answer.
_STREAM_HOLD_SECONDS = 0.02
_WHOLE_HOLD_SECONDS = 0.25
#: Longer inputs are tokenised in a thread, since they would block the event loop.
_LONG_CHARACTERS = 8_192
#: More tokens than a tag of reasoning and the white space after it.
_TAG_TOKENS = 16


class ModelServer:
    """Generates with one engine.

    Parameters
    ----------
    engine
        The engine; :meth:`load` loads its model.
    max_requests
        Maximum number of running and waiting answers; further requests are rejected with 503.
    """

    def __init__(self, engine: Engine, *, max_requests: int) -> None:
        self._engine = engine
        self._max_requests = max_requests
        self._answers = 0

    async def load(self) -> None:
        """Load the weights in a thread, so that the event loop is not blocked."""
        await asyncio.to_thread(self._engine.load)

    async def close(self) -> None:
        """End all generations."""
        await self._engine.close()

    def check_health(self) -> None:
        """Raise EngineClosedError if the engine can no longer generate and the replica must be replaced."""
        if not self._engine.running:
            raise EngineClosedError(f"the engine {self._engine.name!r} has ended")

    @property
    def version(self) -> str:
        """Version of the weights."""
        return self._engine.model_version

    @property
    def idle(self) -> bool:
        """Whether no answer is generated or waits."""
        return not self._answers

    @property
    def running(self) -> bool:
        """Whether the engine can generate."""
        return self._engine.running

    def describe(self, versions: frozenset[str] = frozenset()) -> ModelInfo:
        """Return the model description and the load; `versions` are the loaded trained versions.

        Raises EngineClosedError if the engine has ended: Ray replaces the replica seconds later.
        """
        self.check_health()
        engine = self._engine
        features: frozenset[Feature] = frozenset(engine.features)
        return ModelInfo(
            engine=engine.name,
            version=engine.model_version,
            context_length=engine.context_length,
            features=features,
            stats=engine.stats(),
            versions=versions,
        )

    async def generate(self, request: ModelRequest) -> AsyncGenerator[OpenAIChunk | RejectedRequest, None]:
        """Generate an answer; see :meth:`serving.backend.Backend.generate`."""
        wanted = engine_request(request, lists_likely="top_logprobs" in self._engine.features)
        if wanted.choices > max(1, self._max_requests):
            yield RejectedRequest(
                code="invalid_value",
                status=400,
                message=f"n is {wanted.choices}; a replica takes {count_text(self._max_requests, 'answer')} at a time. Reduce n.",
                param="n",
            )
            return
        if self._answers + wanted.choices > self._max_requests:
            yield RejectedRequest(
                code="queue_full",
                status=503,
                message=f"{count_text(self._answers, 'answer is', 'answers are')} in progress, n is {wanted.choices} and the limit of a replica is"
                f" {self._max_requests}; try again in a second.",
            )
            return
        self._answers += wanted.choices
        try:
            for schema in wanted.strict:
                check_strict(schema)
            async with aclosing(self._run(request, wanted)) as items:
                async for item in items:
                    yield item
        except PromptRejectedError as error:
            yield RejectedRequest(code="invalid_value", status=400, message=str(error), param="messages")
        except SchemaRejectedError as error:
            param = "tools" if wanted.tool_calls in {"named", "listed"} else "response_format"
            yield RejectedRequest(code="invalid_json_schema", status=400, message=str(error), param=param)
        except EngineError as error:
            yield RejectedRequest(code="generation_failed", status=503, message=str(error))
        finally:
            self._answers -= wanted.choices

    async def _run(
        self, request: ModelRequest, wanted: EngineRequest
    ) -> AsyncGenerator[OpenAIChunk | RejectedRequest, None]:
        prompt = await self._encode(wanted)
        room = self._engine.context_length - len(prompt)
        least = 1 if wanted.max_tokens is None else wanted.max_tokens
        if not prompt or room < least:
            yield self._rejected(len(prompt), wanted)
            return
        max_tokens = min(wanted.default_max_tokens, room) if wanted.max_tokens is None else wanted.max_tokens
        generate = self._engine.generate if max_tokens or wanted.sampling.prompt_logprobs else _no_tokens
        hold = _STREAM_HOLD_SECONDS if request.stream else _WHOLE_HOLD_SECONDS
        answers = [
            coalesced(generate(prompt, wanted.sampling_of(choice, max_tokens)), hold, joined)
            for choice in range(wanted.choices)
        ]
        formats = [self._format(request, wanted, prompt, choice) for choice in range(wanted.choices)]
        completion_tokens = [0] * wanted.choices
        async with aclosing(merged(answers)) as chunks:
            async for choice, chunk in chunks:
                completion_tokens[choice] = chunk.completion_tokens
                converted = formats[choice].convert(chunk)
                if converted is not None:
                    usage = {"prompt_tokens": chunk.prompt_tokens, "completion_tokens": sum(completion_tokens)}
                    yield {"choices": [converted], "usage": usage}

    def _rejected(self, prompt_tokens: int, wanted: EngineRequest) -> RejectedRequest:
        param = "messages" if wanted.messages else "prompt"
        if not prompt_tokens:
            message = "The prompt has no tokens; send some text."
            return RejectedRequest(code="invalid_value", status=400, message=message, param=param)
        # A tokenizer may stop at the model's own context length.
        least = "at least " if prompt_tokens >= self._engine.context_length else ""
        what = f"With max_tokens {wanted.max_tokens}, the" if wanted.max_tokens else "The"
        fix = "Reduce max_tokens or shorten" if wanted.max_tokens else "Shorten"
        return RejectedRequest(
            code="context_length_exceeded",
            status=400,
            # LiteLLM and LangChain recognise this error by the words "prompt is too long".
            message=f"{what} prompt is too long: the limit of prompt and answer together is {self._engine.context_length} tokens, and the prompt has"
            f" {least}{prompt_tokens}. {fix} the prompt.",
            param=param,
        )

    def _format(
        self, request: ModelRequest, wanted: EngineRequest, prompt: Sequence[int], choice: int
    ) -> ChatChunks | CompletionChunks:
        if request.operation != "chat":
            return CompletionChunks(choice, wanted.prompt if wanted.echo else "")
        prefix = f"call_{request.request_id.replace('-', '')[:16]}{choice}"
        reasoning = None
        if "reasoning" in self._engine.features and not wanted.sampling.json_schema:
            reasoning = ReasoningReader(opened=is_open(self._engine.decode(prompt[-_TAG_TOKENS:])))
        return ChatChunks(choice, tool_call_reader(wanted.tool_calls, wanted.function, prefix), reasoning)

    async def _encode(self, wanted: EngineRequest) -> list[int]:
        if wanted.has_tools or wanted.characters > _LONG_CHARACTERS:
            return await asyncio.to_thread(self._encode_now, wanted)
        return self._encode_now(wanted)

    def _encode_now(self, wanted: EngineRequest) -> list[int]:
        if wanted.messages:
            return self._engine.encode_chat(wanted.messages, wanted.tools)
        return self._engine.encode(wanted.prompt)


async def _no_tokens(prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Chunk, None]:
    """Yield the answer of a request for 0 tokens."""
    yield Chunk(text="", finish_reason="length", prompt_tokens=len(prompt), completion_tokens=sampling.max_tokens)
