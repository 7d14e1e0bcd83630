"""Weir's own engine: the batching loop in a thread, and asyncio around it."""

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import torch

from serving.engine.batching_loop import Loop, Request
from serving.engine.chunk_queue import Inbox, check_prompt
from serving.engine.errors import EngineClosedError, EngineError, EngineUnavailableError, GenerationFailedError
from serving.engine.kv_cache import Room
from serving.engine.linear import can_pack
from serving.engine.llama import LlamaModel
from serving.engine.llama_config import LlamaConfig, end_tokens, read_config, unsupported
from serving.engine.model_files import model_version
from serving.engine.protocol import Chunk, EngineStats, Sampling
from serving.engine.resources import Resources
from serving.engine.tokenizer import DirectoryCodec

__all__ = ["PackedEngine"]

_LOG = logging.getLogger(__name__)
_CLOSED = "the engine is closed: send the request again when the model is back"


class PackedEngine:
    """Generates with Weir's own forward pass, for models of the Llama family."""

    def __init__(self, model_dir: Path, resources: Resources) -> None:
        config = read_config(model_dir)
        if (reason := unsupported(config)) is not None:
            raise EngineUnavailableError(f"{model_dir} cannot run here: {reason}; choose the engine 'transformers'")
        self._dir, self._raw, self._config = model_dir, config, LlamaConfig.of(config)
        self.context_length = resources.limit(self._config.max_position_embeddings)
        self._room = Room(
            slots=resources.slots,
            limit=self.context_length,
            dtype=resources.dtype,
            device=resources.device,
            pack=resources.pack,
        )
        self._threads = resources.thread_count
        self._loading = threading.Lock()
        self._codec: DirectoryCodec | None = None
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._arrivals: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._inboxes: dict[Request, Inbox] = {}
        self._version = ""

    @property
    def name(self) -> str:
        """`packed`, or `llama` where weights cannot be packed."""
        room = self._room
        return "packed" if room.pack and room.device.type == "cpu" and can_pack(room.dtype) else "llama"

    @property
    def model_version(self) -> str:
        """Version of the weights; without a manifest, the first call reads all of them."""
        self._version = self._version or model_version(self._dir)
        return self._version

    def load(self) -> None:
        """Load weights and tokenizer, and start the thread that generates."""
        with self._loading:
            if self._loop is not None:
                return
            self._codec = DirectoryCodec(self._dir)
            model = LlamaModel(self._dir, self._config, self._room)
            self._loop = Loop(model, self._codec, end_tokens(self._dir, self._raw), self._room.slots)
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="weir-engine", daemon=True)
            self._thread.start()
            _LOG.info(
                "engine %s has loaded %s (%s, %d threads)",
                self.name,
                self.model_version,
                self._room.dtype,
                self._threads,
            )

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Return the tokens of a conversation up to the assistant's turn."""
        return self._loaded_codec().encode_chat(messages)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a plain prompt."""
        return self._loaded_codec().encode(text)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Generate; see the protocol."""
        check_prompt(prompt, sampling, self.context_length)
        self._loaded_codec()
        request, inbox = Request(prompt, sampling), Inbox()
        self._inboxes[request] = inbox
        self._arrivals.put(request)
        try:
            if self._closed:
                raise EngineClosedError(_CLOSED)
            while True:
                chunk = await inbox.get()
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            request.cancelled = True
            del self._inboxes[request]

    async def close(self) -> None:
        """Stop after the current step."""
        self._closed = True
        self._arrivals.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def stats(self) -> EngineStats:
        """Return the load and the totals."""
        loop = self._loop
        if loop is None:
            return EngineStats(slots=self._room.slots)
        return EngineStats(
            running=loop.running,
            waiting=loop.waiting + self._arrivals.qsize(),
            slots=self._room.slots,
            prompt_tokens_total=loop.totals.prompt_tokens,
            completion_tokens_total=loop.totals.completion_tokens,
        )

    def _loaded_codec(self) -> DirectoryCodec:
        if self._closed:
            raise EngineClosedError(_CLOSED)
        if self._codec is None or self._loop is None:
            raise EngineClosedError("the engine has not loaded its model: call load() first")
        return self._codec

    def _run(self, loop: Loop) -> None:
        torch.set_num_threads(self._threads)  # holds for the thread that calls it
        while True:
            self._receive(loop)
            if self._closed:
                break
            try:
                results = loop.step()
            except Exception:  # noqa: BLE001 - the loop's boundary: one bad step must not end serving
                _LOG.exception("a step failed; %d requests are lost", loop.running + loop.waiting)
                self._fail(loop.abandon(), GenerationFailedError("a generation step failed: send the request again"))
                continue
            for request, chunk in results:
                self._send(request, chunk)
        self._receive(loop)
        self._fail(loop.abandon(), EngineClosedError(_CLOSED))

    def _receive(self, loop: Loop) -> None:
        """Add the requests that have arrived; wait for one if there is nothing to do."""
        block = loop.idle and not self._closed
        while True:
            try:
                request = self._arrivals.get(block=block)
            except queue.Empty:
                return
            if request is not None:
                loop.add(request)
            block = False

    def _send(self, request: Request, item: Chunk | EngineError) -> None:
        inbox = self._inboxes.get(request)
        if inbox is None or not inbox.send(item):
            request.cancelled = True

    def _fail(self, requests: Sequence[Request], error: EngineError) -> None:
        for request in requests:
            self._send(request, error)
