"""The replicas of the engine vllm: Ray Serve LLM's servers, with Weir's interface for gateways.

Ray Serve LLM owns the engine: placement groups, executors, prefill-decode disaggregation and health checks are its own.
"""

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol

import msgspec
from pydantic import BaseModel
from ray.serve.llm import LLMConfig
from ray.serve.llm.deployment import DPServer, LLMServer, PDDecodeServer, PDPrefillServer
from vllm.entrypoints.openai.models.protocol import LoRAModulePath
from vllm.platforms import current_platform
from vllm.v1.engine.exceptions import EngineDeadError

from serving.backend import ANY_FIELD, ModelInfo, ModelRequest, OpenAIChunk, RejectedRequest
from serving.engine.errors import EngineClosedError, ModelInvalidError
from serving.engine.protocol import EngineStats
from serving.errors import log_failure
from serving.ray_local.replica_port import keep_replica_on_loopback
from serving.replica.coalesce import coalesced
from serving.replica.log_file import log_to
from serving.replica.metrics import EngineCollector
from serving.settings import ModelSettings
from serving.vllm.chunks import ChunkReader, Item, join
from serving.vllm.log_records import leave_out_messages
from serving.vllm.metrics import VllmCollector, token_totals
from serving.vllm.model_weights import weight_versions
from serving.vllm.prompt_limit import too_many_prompts
from serving.vllm.vllm_request import parse

_LOG = logging.getLogger(__name__)
#: Seconds for which text is collected into one chunk, so short that a reading client does not notice.
_HOLD_SECONDS = 0.02
_INTERNAL_ERROR = 500
_ENDED = "the engine 'vllm' has ended"
#: The values that vLLM accepts as `max_lora_rank`.
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
_METHODS = {"chat": "chat", "text_completion": "completions", "embeddings": "embeddings"}


class ProcessMetrics(Protocol):
    """The metrics port of this process."""

    registry: Any

    def stop(self) -> None:
        """Close the port."""


class _Replica:
    """Adds Weir's interface to a server of Ray Serve LLM, which must be the next base class.

    Parameters
    ----------
    llm_config
        The configuration of Ray Serve LLM. This class adds the model's directory on this node and the adapters.
    settings
        The model's settings.
    model_dir
        Returns the model's directory on this node; fetches the model if needed.
    metrics
        Opens the metrics port of this process.
    logs
        The folder of the log.
    """

    engine: Any

    async def __init__(  # type: ignore[misc] # Ray awaits it
        self,
        llm_config: LLMConfig,
        *,
        settings: ModelSettings,
        model_dir: Callable[[], Path],
        metrics: Callable[[], ProcessMetrics],
        logs: Path,
        **options: Any,
    ) -> None:
        keep_replica_on_loopback()
        log_to(logs)
        self._settings = settings
        self._in_progress = 0
        directory = model_dir()
        self._version, self._adapters = weight_versions(directory, settings.lora)
        _complete(llm_config, settings, directory)
        await super().__init__(llm_config, **options)  # type: ignore[call-arg,misc] # the server's, a coroutine
        log_to(logs)  # again: vLLM imports model_hosting_container_standards, which sets the root logger to ERROR
        leave_out_messages()
        self._metrics = metrics()
        VllmCollector(self._metrics.registry)
        EngineCollector(self._stats, self._metrics.registry)
        _LOG.info("engine vllm has loaded %s", self._version)

    async def describe(self, adapter: str = "") -> ModelInfo:
        """Return the description of the model, or of the model with a LoRA adapter, and the replica's load.

        Raises EngineClosedError if the engine has ended: Ray replaces the replica seconds later.
        """
        try:
            await self.engine.check_health()
        except EngineDeadError:
            raise EngineClosedError(_ENDED) from None
        version = f"{self._version}+{self._adapters[adapter]}" if adapter else self._version
        return ModelInfo(
            engine="vllm",
            version=version,
            context_length=self.engine._engine_client.model_config.max_model_len,  # noqa: SLF001 - nothing public has it
            features=frozenset({ANY_FIELD}),
            stats=self._stats(),
        )

    def _stats(self) -> EngineStats:
        running = min(self._in_progress, self._settings.slots_or_default)
        read, written = token_totals()
        return EngineStats(
            running=running,
            waiting=self._in_progress - running,
            slots=self._settings.slots_or_default,
            prompt_tokens_total=read,
            completion_tokens_total=written,
        )

    async def generate(self, request: ModelRequest) -> AsyncGenerator[OpenAIChunk | RejectedRequest, None]:
        """Generate an answer; see :meth:`serving.backend.Backend.generate`. Raises EngineClosedError if the engine has ended."""
        self._in_progress += 1
        try:
            async with aclosing(coalesced(self._items(request), _HOLD_SECONDS, join)) as batches:
                async for batch in batches:
                    for item in batch:
                        yield item
        except EngineDeadError:
            # Not vLLM's error: the gateway would import vLLM to read it.
            raise EngineClosedError(_ENDED) from None
        except Exception as error:  # noqa: BLE001 - the boundary to vLLM
            log_failure(_LOG, f"request {request.request_id}", error)
            yield RejectedRequest(
                code="generation_failed",
                status=_INTERNAL_ERROR,
                message=f"The engine vllm failed ({type(error).__name__}); the log of the replica has the cause.",
            )
        finally:
            self._in_progress -= 1

    async def _items(self, request: ModelRequest) -> AsyncGenerator[Item, None]:
        parsed = too_many_prompts(request, self._settings.max_requests) or parse(request)
        if isinstance(parsed, RejectedRequest):
            yield parsed
            return
        reader = ChunkReader(request)
        async with aclosing(await self._output(request, parsed)) as outputs:
            async for output in outputs:
                # Servers yield lists of events, single events, or a whole response.
                for item in output if isinstance(output, list) else (output,):
                    read = reader.read(_as_json(item))
                    if isinstance(read, RejectedRequest) and read.status >= _INTERNAL_ERROR:
                        await (
                            self.engine.check_health()
                        )  # vLLM reports the end of the engine as an error of the request
                    if read is not None:
                        yield read
                    if isinstance(read, RejectedRequest):
                        return

    async def _output(self, request: ModelRequest, parsed: BaseModel) -> AsyncGenerator[Any, None]:
        if request.operation == "responses":
            return self._responses(parsed)
        method = getattr(self, _METHODS[request.operation])
        outputs: AsyncGenerator[Any, None] = await method(parsed)
        return outputs

    async def _responses(self, parsed: BaseModel) -> AsyncGenerator[Any, None]:
        """Run a request of the Responses API, for which Ray Serve LLM has no method."""
        serving = self.engine._app_state.openai_serving_responses  # noqa: SLF001 - see above
        if serving is None:
            yield {
                "error": {"code": 400, "message": "This model does not support the Responses API.", "param": "model"}
            }
            return
        output = await serving.create_responses(parsed)
        if isinstance(output, BaseModel):
            yield output
            return
        async with aclosing(output):
            async for event in output:
                yield event

    async def _start_engine(self) -> None:
        """Start the engine, without Ray Serve LLM's usage report: its actor needs 700 MB."""
        await self.engine.start()

    async def __del__(self) -> None:
        """Close the metrics port and the engine; Ray calls this method before it stops the process."""
        if hasattr(self, "_metrics"):
            self._metrics.stop()
        await super().__del__()  # type: ignore[misc] # the server's, a coroutine


class VllmServer(_Replica, LLMServer):
    """A replica that serves alone."""


class VllmDataParallelServer(_Replica, DPServer):
    """A replica of a group with data parallelism."""


class VllmDecodeServer(_Replica, PDDecodeServer):
    """A replica that generates after another replica has read the prompt."""


class VllmPrefillServer(_Replica, PDPrefillServer):
    """A replica that reads prompts for decode replicas."""


def _as_json(item: Any) -> Any:
    return item.model_dump(mode="json", by_alias=True) if isinstance(item, BaseModel) else item


def _complete(llm_config: LLMConfig, settings: ModelSettings, directory: Path) -> None:
    """Add the fields that depend on files of this node: the model's directory, its context length, and the adapters."""
    engine = llm_config.get_engine_config()
    assert engine is not None
    engine.hf_model_id = str(directory)
    given = llm_config.engine_kwargs
    added: dict[str, Any] = {"max_model_len": min(settings.max_length, _context_of(directory))}
    if settings.lora:
        engine.frontend_kwargs["lora_modules"] = [LoRAModulePath(name, path) for name, path in settings.lora.items()]
        added |= {
            "enable_lora": True,
            # On a CPU, vLLM applies its last slot to requests without an adapter (vllm-project/vllm#48421): keep that slot empty.
            "max_loras": len(settings.lora) + current_platform.is_cpu(),
            "max_lora_rank": max(_lora_rank(Path(path)) for path in settings.lora.values()),
        }
    llm_config.update_engine_kwargs(**{name: value for name, value in added.items() if name not in given})


def _context_of(directory: Path) -> int:
    """Return the model's context length in tokens; 2**31, which limits nothing, if its configuration has none."""
    config = json.loads((directory / "config.json").read_bytes())
    for part in (config, config.get("text_config") or {}):
        if isinstance(length := part.get("max_position_embeddings"), int):
            return length
    return 2**31


class _AdapterConfig(msgspec.Struct):
    r: int


def _lora_rank(adapter: Path) -> int:
    """Return the smallest of vLLM's ranks that is not below the adapter's; raises ModelInvalidError."""
    path = adapter / "adapter_config.json"
    try:
        rank = msgspec.json.decode(path.read_bytes(), type=_AdapterConfig).r
    except (OSError, msgspec.DecodeError) as error:
        raise ModelInvalidError(
            f"{path} cannot be read ({type(error).__name__}): set a LoRA adapter in peft's format"
        ) from None
    fits = next((allowed for allowed in _LORA_RANKS if allowed >= rank), None)
    if fits is None:
        raise ModelInvalidError(f"{path} has rank {rank}; vLLM accepts at most {_LORA_RANKS[-1]}")
    return fits
