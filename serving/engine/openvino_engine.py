"""An engine that uses OpenVINO GenAI's continuous batching on a CPU; it reads GGUF files and OpenVINO IR directories."""

import asyncio
import itertools
import logging
import os
import queue
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openvino
import openvino_genai as genai

from serving.engine.chat_template import TEMPLATE_REJECTS, features_of
from serving.engine.chunk_queue import Inbox
from serving.engine.errors import (
    CLOSED,
    FAILED,
    NO_TEMPLATE,
    NOT_LOADED,
    EngineClosedError,
    EngineError,
    EngineUnavailableError,
    GenerationFailedError,
    PromptRejectedError,
)
from serving.engine.gguf_file import context_length, find_gguf, is_readable, writable_file
from serving.engine.json_schema import check_schema, load_converter
from serving.engine.model_files import IR_MODEL, model_version
from serving.engine.protocol import Chunk, EngineFeature, EngineStats, FinishReason, Sampling, TokenLogprob
from serving.engine.text_stream import Detokeniser, TextStream
from serving.errors import log_failure
from serving.settings import ModelSettings, default_slots
from stream.count_text import count_text
from stream.processor import processor_flags

_LOG = logging.getLogger(__name__)
_GREEDY_BELOW = 1e-5
# Prompt tokens of a step, beside one token of each running request: more delay the others' tokens, fewer the first token.
_PROMPT_TOKENS_PER_STEP = 64
# A smaller number is 0 as a float32, which the pipeline rejects; both mean the most likely token.
_LEAST_TOP_P = float(np.finfo(np.float32).tiny)
# The pipeline requires an end token; this one is in no vocabulary.
_NO_TOKEN = 2**31
# float32 everywhere: the answers of transformers in float32, alone and in a batch.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "KV_CACHE_PRECISION": "f32"}
# In bfloat16 with AMX and one thread, OpenVINO divides by zero, which ends the process (https://github.com/openvinotoolkit/openvino/issues/33300).
_ONE_THREAD_WITH_AMX = {"INFERENCE_PRECISION_HINT": "f32"}


class _Request:
    """One request; any thread may set `cancelled`, only the engine's thread uses `handle` and `seen` (generated tokens)."""

    def __init__(
        self, prompt: Sequence[int], sampling: Sampling, decode: Callable[[Sequence[int]], str], ends: frozenset[int]
    ) -> None:
        self.prompt, self.sampling = prompt, sampling
        self._decode, self._ends = decode, ends
        self._text = TextStream(decode, sampling.stop)
        self._prompt_left = len(prompt) if sampling.prompt_logprobs else 0
        self._prompt_logprobs: list[TokenLogprob] = []
        self._prompt_text, self._prompt_characters = Detokeniser(decode), 0
        self._end_logprob: tuple[TokenLogprob, ...] = ()
        self.inbox = Inbox()
        self.cancelled = False
        self.handle: Any = None
        self.seen = 0

    def send(self, item: Chunk | EngineError) -> None:
        if not self.inbox.send(item):
            self.cancelled = True

    def fail(self, error: EngineError) -> None:
        self.send(error)
        self.cancelled = True

    def read(self) -> Chunk | None:
        """Return a chunk of the tokens that the pipeline generated since the last call, or None if it generated none."""
        text, reason, before = "", None, self.seen
        while reason is None and self.handle.can_read():
            for output in self.handle.read().values():
                new, reason = self._add(output)
                text += new
        prompt_logprobs, self._prompt_logprobs = tuple(self._prompt_logprobs), []
        if self.seen == before and reason is None and not prompt_logprobs:
            return None
        return Chunk(
            text=text,
            finish_reason=reason,
            prompt_tokens=len(self.prompt),
            completion_tokens=self.seen,
            logprobs=self._text.take_logprobs() + self._end_logprob,
            prompt_logprobs=prompt_logprobs,
        )

    def _add(self, output: Any) -> tuple[str, FinishReason | None]:
        text = ""
        for token, logprob in zip_longest(output.generated_ids, output.generated_log_probs):
            entry = None if self.sampling.logprobs is None else TokenLogprob(self._decode([token]), logprob)
            if self._prompt_left and entry is not None:
                first = self._prompt_left == len(self.prompt)
                at = self._prompt_characters
                self._prompt_logprobs.append(TokenLogprob(entry.token, None if first else entry.logprob, at=at))
                self._prompt_characters += len(self._prompt_text.push(token))
                self._prompt_left -= 1
                continue
            self.seen += 1
            if token in self._ends:
                self._end_logprob = (self._text.located(entry),) if entry and self.sampling.prompt_logprobs else ()
                continue
            text += self._text.push(token, entry)
            if self._text.stopped:
                return text, "stop"
        end = output.finish_reason
        if end == genai.GenerationFinishReason.NONE:
            return text, None
        return text + self._text.flush(), "length" if end == genai.GenerationFinishReason.LENGTH else "stop"


class OpenvinoEngine:
    """Generates with a `ContinuousBatchingPipeline`, whose steps run in one thread of the engine.

    `model` is a `.gguf` file, or a directory with one `.gguf` file or OpenVINO IR. With the dtype `float32`, an answer does not depend on the other
    requests in its batch. With another dtype, OpenVINO chooses the precision (bfloat16 if the processor supports it), and an answer can depend on them.
    """

    name = "openvino"

    def __init__(self, settings: ModelSettings, model: Path) -> None:
        if not is_readable(model):
            raise EngineUnavailableError(
                f"{model} has neither one .gguf file nor {IR_MODEL}, which the engine 'openvino' reads: "
                "choose the engine 'transformers', or export the model with optimum-cli"
            )
        self._model, self._exact = model, settings.dtype == "float32"
        self._slots = settings.slots or default_slots(self.name)
        self.context_length = min(settings.max_length, context_length(model))
        self._threads = settings.threads or len(os.sched_getaffinity(0))
        self._loading = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pipeline: Any = None
        self._tokenizer: Any = None
        self._ends: frozenset[int] = frozenset()
        self._model_features: frozenset[EngineFeature] = frozenset()
        self._ids = itertools.count()
        self._arrivals: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._requests: list[_Request] = []
        self._closed = False
        self._prompt_total = self._completion_total = 0

    @cached_property
    def model_version(self) -> str:
        """Version of the weights; without a manifest, the first access computes it from all weights."""
        return model_version(self._model)

    @property
    def features(self) -> frozenset[EngineFeature]:
        """The features that the engine supports; `json_schema` if the model has an end token, without which xgrammar ends the process.

        See :func:`serving.engine.chat_template.features_of` for `tools` and `reasoning`.
        """
        schemas: frozenset[EngineFeature] = frozenset({"json_schema"} if self._ends else ())
        return self._model_features | schemas | {"logprobs", "prompt_logprobs"}

    @property
    def running(self) -> bool:
        """Whether the engine's thread runs; a pipeline that cannot be opened again ends it."""
        return self._thread is not None and self._thread.is_alive()

    def load(self) -> None:
        """Load weights and tokenizer, and start the thread that generates."""
        with self._loading:
            if self._thread is not None:
                return
            self._open()
            load_converter()  # not in the first request with a schema
            self._thread = threading.Thread(target=self._run, name="weir-engine", daemon=True)
            self._thread.start()
            _LOG.info("engine openvino has loaded %s (exact: %s)", self.model_version, self._exact)

    def _open(self) -> None:
        scheduler = genai.SchedulerConfig()
        scheduler.max_num_seqs = self._slots
        scheduler.max_num_batched_tokens = _PROMPT_TOKENS_PER_STEP + self._slots
        properties = {"INFERENCE_NUM_THREADS": self._threads} | (_EXACT if self._exact else {})
        if self._threads == 1 and "amx_bf16" in processor_flags():
            properties |= _ONE_THREAD_WITH_AMX
        path = find_gguf(self._model) or self._model
        try:
            with writable_file(path) as file:
                self._pipeline = genai.ContinuousBatchingPipeline(str(file), scheduler, "CPU", properties)
        except (RuntimeError, IndexError, ValueError) as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise EngineUnavailableError(
                f"OpenVINO cannot load {path} ({reason}): choose the engine 'transformers', or export the model with optimum-cli"
            ) from error
        self._tokenizer = self._pipeline.get_tokenizer()
        self._model_features = features_of(self._tokenizer.chat_template, self._tokenizer.get_vocab())
        self._ends = frozenset(token for token in self._pipeline.get_config().stop_token_ids if token >= 0)
        if not self._ends:
            _LOG.warning(
                "%s has no end token (GGUF: tokenizer.ggml.eos_token_id), so requests with a JSON Schema get 400", path
            )

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Return the tokens of a conversation, with the chat template's prefix of the assistant's answer at the end."""
        tokenizer = self._loaded()
        if not tokenizer.chat_template:
            raise PromptRejectedError(NO_TEMPLATE)
        history = [dict(message) for message in messages]
        try:
            text = tokenizer.apply_chat_template(
                history, add_generation_prompt=True, tools=[dict(tool) for tool in tools] or None
            )
        except (RuntimeError, TypeError, ValueError) as error:
            raise PromptRejectedError(TEMPLATE_REJECTS) from error
        return _ids(tokenizer.encode(text, add_special_tokens=False))

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a plain prompt."""
        return _ids(self._loaded().encode(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens without special tokens."""
        return str(self._loaded().decode(list(tokens)))

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Generate an answer; see :meth:`serving.engine.protocol.Engine.generate`."""
        if sampling.json_schema:
            schema = await asyncio.to_thread(check_schema, sampling.json_schema)
            sampling = msgspec.structs.replace(sampling, json_schema=schema)
        request = _Request(prompt, sampling, self._loaded().decode, self._ends)
        self._arrivals.put(request)
        try:
            if self._closed:
                raise EngineClosedError(CLOSED)
            while True:
                chunk = await request.inbox.get()
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            request.cancelled = True

    async def close(self) -> None:
        """Stop the engine after the current step; running requests raise EngineClosedError."""
        self._closed = True
        self._arrivals.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def stats(self) -> EngineStats:
        """Return the numbers of requests and slots, and the token totals."""
        known = len(self._requests)
        return EngineStats(
            running=min(known, self._slots),
            waiting=max(known - self._slots, 0) + self._arrivals.qsize(),
            slots=self._slots,
            prompt_tokens_total=self._prompt_total,
            completion_tokens_total=self._completion_total,
        )

    def _loaded(self) -> Any:
        if self._closed:
            raise EngineClosedError(CLOSED)
        if self._thread is None:
            raise EngineClosedError(NOT_LOADED)
        return self._tokenizer

    def _run(self) -> None:
        try:
            while not self._closed:
                self._receive()
                try:
                    self._step()
                except Exception as error:  # noqa: BLE001 - the loop's boundary: one bad step must not end serving
                    begun = [request for request in self._requests if request.handle is not None]
                    log_failure(_LOG, f"a step with {count_text(len(begun), 'request')}", error)
                    self._fail(begun, GenerationFailedError(FAILED))
                    self._open()
        finally:
            self._closed = True  # also if the pipeline cannot be opened again
            self._receive()
            self._fail(self._requests, EngineClosedError(CLOSED))
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()  # frees the cache of cancelled requests
        self._pipeline = None

    def _receive(self) -> None:
        """Move new requests from the queue to the list; if no request is in progress, wait for a new request."""
        block = not self._closed and not self._requests and not self._pipeline.has_non_finished_requests()
        while block or not self._arrivals.empty():
            request = self._arrivals.get()
            if request is not None and not request.cancelled:
                self._requests.append(request)
            block = False

    def _step(self) -> None:
        # OpenVINO's own limit, max_num_seqs, has no effect on requests whose prompt has been read.
        waiting = [request for request in self._requests if request.handle is None]
        running = len(self._requests) - len(waiting)
        for request in waiting[: self._slots - running]:
            self._add(request)
        self._drop_cancelled()
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        for request in self._requests:
            if request.handle is None:
                continue
            before, chunk = request.seen, request.read()
            self._completion_total += request.seen - before
            if chunk is not None:
                request.send(chunk)
                request.cancelled |= chunk.finish_reason is not None
            elif request.handle.get_status() == genai.GenerationStatus.IGNORED:
                request.fail(GenerationFailedError("the cache of the pipeline is full: send the request again"))
        self._drop_cancelled()

    def _drop_cancelled(self) -> None:
        """Cancel and remove all cancelled requests; the pipeline frees their slots in its next step."""
        for request in self._requests:
            if request.cancelled and request.handle is not None:
                request.handle.cancel()
        self._requests = [request for request in self._requests if not request.cancelled]

    def _add(self, request: _Request) -> None:
        tokens = openvino.Tensor(np.array([request.prompt], dtype=np.int64))
        try:
            request.handle = self._pipeline.add_request(next(self._ids), tokens, self._config(request.sampling))
        except RuntimeError as error:  # the message of an error about a JSON Schema contains the schema
            log_failure(_LOG, "the start of a request", error)
            request.fail(
                GenerationFailedError("the engine 'openvino' does not accept the request: change its parameters")
            )
        else:
            self._prompt_total += len(request.prompt)

    def _config(self, sampling: Sampling) -> Any:
        """Convert `sampling` to OpenVINO's configuration; only the end tokens are copied from the model's configuration."""
        config = genai.GenerationConfig()
        ends = set(self._ends) or {_NO_TOKEN}
        config.eos_token_id, config.stop_token_ids = min(ends), ends
        config.max_new_tokens = sampling.max_tokens
        config.logprobs = int(sampling.logprobs is not None)
        config.echo = sampling.prompt_logprobs
        if sampling.json_schema:
            config.structured_output_config = genai.StructuredOutputConfig(json_schema=sampling.json_schema)
        config.frequency_penalty, config.presence_penalty = sampling.frequency_penalty, sampling.presence_penalty
        if sampling.temperature >= _GREEDY_BELOW:
            config.do_sample = True
            config.temperature, config.top_p = sampling.temperature, max(sampling.top_p, _LEAST_TOP_P)
            config.rng_seed = secrets.randbits(63) if sampling.seed is None else sampling.seed % 2**63
        return config

    def _fail(self, requests: Sequence[_Request], error: EngineError) -> None:
        for request in requests:
            request.fail(error)
        self._drop_cancelled()


def _ids(encoded: Any) -> list[int]:
    return list(encoded.input_ids.data[0].tolist())
