"""An engine that uses transformers' continuous batching, for any causal language model, on a CPU or a GPU."""

import asyncio
import itertools
import json
import logging
import os
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

from serving.engine.chunk_queue import Inbox
from serving.engine.errors import (
    CLOSED,
    FAILED,
    NOT_LOADED,
    EngineClosedError,
    EngineUnavailableError,
    GenerationFailedError,
    ModelInvalidError,
    SchemaRejectedError,
)
from serving.engine.model_files import model_version
from serving.engine.protocol import Chunk, EngineFeature, EngineStats, FinishReason, Sampling, TokenLogprob
from serving.engine.sampler import Draw
from serving.engine.schema_grammars import SchemaGrammars
from serving.engine.text_stream import TextStream
from serving.engine.transformers_codec import TransformersCodec, source_of
from serving.engine.transformers_sampler import RequestSampler
from serving.settings import ModelSettings, default_slots
from stream.gguf_files import read_once

_LOG = logging.getLogger(__name__)
_BLOCK = 64
_CPU_TOKENS_PER_STEP = 64
_STOP_SECONDS = 30.0


class TransformersEngine:
    """Generates with transformers' `ContinuousBatchingManager`. Raises EngineUnavailableError if the device is `cuda` and torch finds no GPU.

    With the dtype `float32`, an answer does not depend on the other requests in its batch; with `bfloat16`, an answer can depend on them.
    """

    name = "transformers"

    def __init__(self, settings: ModelSettings, model_dir: Path) -> None:
        on_gpu = settings.device != "cpu" and torch.cuda.is_available()
        if settings.device == "cuda" and not on_gpu:
            raise EngineUnavailableError("device 'cuda' is not available (torch finds no GPU): choose 'cpu' or 'auto'")
        default_dtype = "bfloat16" if on_gpu else "float32"
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._dtype = getattr(torch, default_dtype if settings.dtype == "auto" else settings.dtype)
        self._dir, self._slots = model_dir, settings.slots or default_slots(self.name)
        self._threads = settings.threads or len(os.sched_getaffinity(0))
        config = _config(model_dir)
        self._ends = _end_tokens(model_dir, config)
        self.context_length = min(settings.max_length, int(config.max_position_embeddings))
        self._loading = threading.Lock()
        self._numbers = itertools.count()
        self._sampler = RequestSampler()
        self._model: Any = None
        self._manager: Any = None
        self._codec: TransformersCodec | None = None
        self._grammars: SchemaGrammars | None = None
        self._inboxes: set[Inbox] = set()
        self._closed = False
        self._prompt_total = self._completion_total = 0

    @cached_property
    def model_version(self) -> str:
        """Version of the weights; without a manifest, the first access computes it from all weights."""
        return model_version(self._dir)

    @property
    def features(self) -> frozenset[EngineFeature]:
        """The features that the engine supports; `json_schema` if the model has an end token.

        See :func:`serving.engine.chat_template.features_of` for `tools` and `reasoning`.
        """
        found: frozenset[EngineFeature] = self._codec.features if self._codec is not None else frozenset()
        schemas: frozenset[EngineFeature] = frozenset({"json_schema"} if self._grammars is not None else ())
        return found | schemas | {"logit_bias", "logprobs", "top_logprobs"}

    @property
    def running(self) -> bool:
        """Whether the model is loaded and the engine is not closed; a loop of transformers that has ended is started again."""
        return self._manager is not None and not self._closed

    def load(self) -> None:
        """Load weights and tokenizer, and start transformers' thread."""
        with self._loading:
            if self._manager is not None:
                return
            torch.set_num_threads(self._threads)
            with read_once():
                self._codec = TransformersCodec(self._dir)
                # Without `use_safetensors`, transformers also loads a pickle.
                model: Any = AutoModelForCausalLM.from_pretrained(
                    **source_of(self._dir), dtype=self._dtype, use_safetensors=True
                )
            self._model = model.to(self._device).eval()
            self._grammars = self._schema_grammars(self._codec.tokenizer)
            self._manager = self._started()
            _LOG.info("engine transformers has loaded %s (%s)", self.model_version, self._dtype)

    def _schema_grammars(self, tokenizer: Any) -> SchemaGrammars | None:
        """Return the compiler of schemas, or None: no end token, or a tokenizer of a type that xgrammar does not know."""
        if not self._ends:
            return None
        size = int(self._model.config.get_text_config().vocab_size)
        try:
            return SchemaGrammars(tokenizer, size, self._ends, self._threads)
        except (OSError, ValueError) as error:
            _LOG.warning("answers cannot follow a JSON Schema: xgrammar cannot read the tokenizer (%s)", error)
            return None

    def _started(self) -> Any:
        manager = self._model.init_continuous_batching(
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call] # transformers has no types for it
                do_sample=False, eos_token_id=sorted(self._ends) or [-1], max_new_tokens=1
            ),
            continuous_batching_config=self._batching(),
        )
        self._sampler.install(manager.logit_processor)
        manager.start()
        return manager

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Return the tokens of a conversation, with the chat template's prefix of the assistant's answer at the end."""
        return self._loaded()[1].encode_chat(messages, tools)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a plain prompt."""
        return self._loaded()[1].encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens without special tokens."""
        return self._loaded()[1].decode(tokens)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Generate an answer; see :meth:`serving.engine.protocol.Engine.generate`."""
        manager, codec = self._loaded()
        matcher = None
        if sampling.json_schema:
            if self._grammars is None:
                raise SchemaRejectedError("the model cannot follow a JSON Schema: choose another model")
            matcher = await asyncio.to_thread(self._grammars.matcher, sampling.json_schema)
        request_id = f"weir-{next(self._numbers)}"
        answer = _Answer(len(prompt), sampling, codec, self._ends, self._sampler.add(request_id, sampling, matcher))
        self._inboxes.add(answer.inbox)
        manager.register_result_handler(request_id, answer.take)
        try:
            added = manager.add_request(
                list(prompt), request_id=request_id, max_new_tokens=sampling.max_tokens, streaming=True
            )
            if added is None:
                raise GenerationFailedError(FAILED)
            self._prompt_total += len(prompt)
            while True:
                chunk = await answer.inbox.get()
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            self._completion_total += answer.seen
            manager.cancel_request(request_id)  # transformers does not know stop strings
            self._inboxes.discard(answer.inbox)
            self._sampler.remove(request_id)
            _forget(manager, request_id)

    async def close(self) -> None:
        """Stop transformers' thread; running requests raise EngineClosedError."""
        if self._closed:
            return
        self._closed = True
        for inbox in list(self._inboxes):
            inbox.send(EngineClosedError(CLOSED))
        if self._manager is not None:
            await asyncio.to_thread(self._manager.stop, block=True, timeout=_STOP_SECONDS, hard_stop=True)

    def stats(self) -> EngineStats:
        """Return the numbers of requests and slots, and the token totals."""
        processor = getattr(self._manager, "batch_processor", None)
        running = len(processor.scheduler.active_requests) if processor is not None else 0
        return EngineStats(
            running=running,
            waiting=max(len(self._inboxes) - running, 0),
            slots=self._slots,
            prompt_tokens_total=self._prompt_total,
            completion_tokens_total=self._completion_total,
        )

    def _loaded(self) -> tuple[Any, TransformersCodec]:
        if self._closed:
            raise EngineClosedError(CLOSED)
        if self._manager is None or self._codec is None:
            raise EngineClosedError(NOT_LOADED)
        with self._loading:
            if not self._manager.is_running():  # a failed step ends transformers' thread and all requests
                _LOG.error("transformers' loop has ended, and is started again")
                self._manager = self._started()
        return self._manager, self._codec

    def _batching(self) -> ContinuousBatchingConfig:
        """Return the batching settings; on a CPU the slots set the cache size, on a GPU transformers derives it from memory."""
        options: dict[str, Any] = {}
        if self._device.type == "cpu":
            options["num_blocks"] = self._slots * -(-self.context_length // _BLOCK)
            options["max_batch_tokens"] = _CPU_TOKENS_PER_STEP + self._slots
        # The sampler runs on the host between two forward passes: no CUDA graph, no asynchronous batching.
        return ContinuousBatchingConfig(
            block_size=_BLOCK,
            max_requests_per_batch=self._slots,
            use_async_batching=False,
            use_cuda_graph=False,
            **options,
        )


class _Answer:
    """Converts transformers' outputs for one request to chunks."""

    def __init__(
        self, prompt_tokens: int, sampling: Sampling, codec: TransformersCodec, ends: frozenset[int], draw: Draw
    ) -> None:
        self.inbox = Inbox()
        self.seen = 0
        self._prompt_tokens, self._most, self._ends = prompt_tokens, sampling.max_tokens, ends
        self._text = TextStream(codec.decode, sampling.stop)
        self._decode, self._draw = codec.decode, draw
        self._reason: FinishReason | None = None

    @property
    def ended(self) -> bool:
        """Whether the last chunk of the answer has been created."""
        return self._reason is not None

    def take(self, output: Any) -> None:
        """Create a chunk from `output`, which has all tokens of the answer so far; called in the event loop."""
        if self.ended:
            return
        if output.error is not None:
            self.inbox.put(GenerationFailedError(FAILED))
            return
        text = "".join(self._say(token) for token in output.generated_tokens[self.seen :])
        self.inbox.put(
            Chunk(
                text=text,
                finish_reason=self._reason,
                prompt_tokens=self._prompt_tokens,
                completion_tokens=self.seen,
                logprobs=self._text.take_logprobs(),
            )
        )

    def _logprob(self) -> TokenLogprob | None:
        """Return the log-probability of the next token, or None if the request does not want it."""
        if (drawn := self._draw.take_logprob()) is None:
            return None
        top = tuple((self._decode([token]), logprob) for token, logprob in drawn.top)
        return TokenLogprob(self._decode([drawn.token]), drawn.logprob, top)

    def _say(self, token: int) -> str:
        if self.ended:
            return ""
        self.seen += 1
        logprob = self._logprob()
        if token in self._ends:
            self._reason = "stop"
            return self._text.flush()
        text = self._text.push(token, logprob)
        if self._text.stopped:
            self._reason = "stop"
        elif self.seen == self._most:
            self._reason = "length"
            text += self._text.flush()
        return text


def _config(model: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(**source_of(model)).get_text_config()
    except (OSError, ValueError) as error:
        raise ModelInvalidError(
            f"{model} has no configuration that transformers can read: fetch the model again"
        ) from error


def _end_tokens(model: Path, config: Any) -> frozenset[int]:
    """Return the tokens that end an answer, from the model's configuration and generation configuration.

    The tokenizer's end token is not used: in SmolLM2's GGUF file, it is the token that begins a message.
    """
    path = model / "generation_config.json"
    generation = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    ends: set[int] = set()
    for value in (config.eos_token_id, generation.get("eos_token_id")):
        ends.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ends)


def _forget(manager: Any, request_id: str) -> None:
    """Remove the request's result handler; transformers does not remove it when a request is cancelled."""
    router = manager.output_router
    with router._lock:  # noqa: SLF001 - it has no method for this
        router.result_handlers.pop(request_id, None)
