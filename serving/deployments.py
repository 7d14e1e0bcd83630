"""The Ray Serve application: gateways, which record requests, in front of model replicas.

``serving.deployments:build`` builds the application. A gateway is an ingress (an ASGI application). A model replica has an engine and, if Ray
has a GPU, one GPU. The CPU requests are fractions, so that all replicas fit on two cores; `model.threads` sets the engine's threads.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from pydantic import BaseModel, ConfigDict
from ray import cluster_resources, is_initialized, serve
from ray.serve.config import AutoscalingConfig

from serving.api_keys import KeyRing, keys_path
from serving.capture.recorder import Recorder
from serving.engine.factory import create_engine
from serving.engine.fetch_model import ensure
from serving.gateway.endpoints import GatewaySettings
from serving.gateway.gateway import Gateway, lifespan
from serving.gateway.inference import Wiring
from serving.gateway.metrics import GatewayMetrics
from serving.http import Receive, Scope, Send
from serving.inference_records import ExpectedVerdicts
from serving.metrics_port import MetricsPort
from serving.metrics_targets import MetricsTarget, register_target
from serving.ray_local.replica_port import keep_replica_on_loopback
from serving.replica.generation import Generation, ModelInfo, ReplicaLost
from serving.replica.metrics import EngineCollector
from serving.replica.model_server import ModelServer
from serving.replica.ray_backend import RayBackend
from serving.settings import CaptureSettings, HttpSettings, ModelSettings
from stream.telemetry import MetricsServer, TraceSettings, tracer_provider

__all__ = ["AppArgs", "build"]

APP_NAME = "weir"
_GATEWAY_CPUS = 0.1
_MODEL_CPUS = 0.2
#: More than a gateway accepts, so that the gateway rejects excess requests itself, in OpenAI's format.
_GATEWAY_ONGOING = 10_000
_HEALTH_CHECK_SECONDS = 1.0
_HEALTH_TIMEOUT_SECONDS = 15.0
_STOP_SECONDS = 2.0
_WARM_RETRY_SECONDS = 0.5


class AppArgs(BaseModel):
    """The arguments of the application.

    Without `model_dir` (see ``serving.engine.fetch_model.ensure``), each replica installs the model on its own node.
    `edge_token_path` is ``RayLayout.edge_token_path``, or "" if there is no HAProxy. `inference_topic` is the topic of
    prompts and answers; spans contain the topic's name instead of the text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    home: Path
    http: HttpSettings
    model: ModelSettings
    capture: CaptureSettings
    expected_input: tuple[str, ...]
    expected_output: tuple[str, ...]
    context_characters: int
    metrics_host: str
    metrics_port: int
    inference_topic: str
    trace_endpoint: str
    trace_headers: dict[str, str]
    trace_ratio: float
    model_dir: Path = Path()
    edge_token_path: str = ""

    @property
    def spool_root(self) -> Path:
        """The folder that contains the spools of all gateways."""
        return self.home / "spool"

    @property
    def metrics_dir(self) -> Path:
        """The folder in which :mod:`serving.metrics_targets` stores the metrics addresses."""
        return self.home / "run" / "metrics"

    @property
    def max_requests(self) -> int:
        """Maximum number of requests that a replica runs and queues."""
        return self.model.slots + self.model.queue

    def trace_settings(self) -> TraceSettings:
        """Return the trace settings."""
        return TraceSettings(endpoint=self.trace_endpoint, headers=self.trace_headers, ratio=self.trace_ratio)


class _Metrics:
    """Registry and ports of the metrics of one Ray process, and the file that contains the loopback port."""

    def __init__(self, args: AppArgs, component: str) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._server = MetricsServer(self.registry, 0).start()
        self._port = MetricsPort(self.registry, args.metrics_host, args.metrics_port)
        unique = serve.get_replica_context().replica_id.unique_id
        target = MetricsTarget(
            name=f"{component}-{unique}",
            component=component,
            address=f"127.0.0.1:{self._server.port}",
            pid=os.getpid(),
        )
        register_target(args.metrics_dir, target)
        self._path = args.metrics_dir / f"{target.name}.json"

    def stop(self) -> None:
        self._path.unlink(missing_ok=True)
        self._port.stop()
        self._server.stop()


class Model:
    """The model's deployment: a :class:`~serving.replica.model_server.ModelServer` in a Ray process."""

    async def __init__(self, args: AppArgs) -> None:  # type: ignore[misc] # Ray awaits it
        keep_replica_on_loopback()
        _log_to_stderr()
        settings = args.model
        engine = create_engine(
            kind=settings.engine,
            model_dir=await asyncio.to_thread(_model_dir, args),
            name=settings.name,
            device=settings.device,
            dtype=settings.dtype,
            slots=settings.slots,
            max_length=settings.max_length,
            threads=settings.threads or None,
        )
        self._server = ModelServer(engine, max_requests=args.max_requests, max_length=settings.max_length)
        await self._server.load()
        self._metrics = _Metrics(args, "model")
        EngineCollector(engine.stats, self._metrics.registry)

    async def describe(self) -> ModelInfo:
        """Return the model description and the replica's load."""
        return self._server.describe()

    async def generate(self, generation: Generation) -> Any:
        """Generate an answer; see :meth:`serving.replica.model_server.ModelServer.generate`."""
        async with contextlib.aclosing(self._server.generate(generation)) as items:
            async for item in items:
                yield item

    async def __del__(self) -> None:
        """End all generations; Ray calls this method before it stops the process."""
        self._metrics.stop()
        await self._server.close()


def _ingress() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return an ASGI application that calls this process's gateway, which Ray creates later."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # comes before Ray has set the context
            await lifespan(receive, send)
            return
        gateway: Any = serve.get_replica_context().servable_object
        await gateway.answer(scope, receive, send)

    return answer


class GatewayIngress:
    """The gateway's deployment: a :class:`~serving.gateway.gateway.Gateway` in a Ray process."""

    async def __init__(self, model: Any, args: AppArgs) -> None:  # type: ignore[misc] # Ray awaits it
        keep_replica_on_loopback()
        _log_to_stderr()
        self._metrics = _Metrics(args, "gateway")
        self._provider = tracer_provider("gateway", args.trace_settings())
        self._recorder: Recorder | None = None
        if args.capture.enabled:
            self._recorder = Recorder(root=args.spool_root, settings=args.capture, registry=self._metrics.registry)
            self._recorder.start()
        backend = _backend(model, args)
        wiring = Wiring(
            backend=backend,
            recorder=self._recorder,
            metrics=GatewayMetrics(self._metrics.registry),
            tracer=self._provider.get_tracer("weir.serving"),
            expected=ExpectedVerdicts(
                input=args.expected_input, output=args.expected_output, context_characters=args.context_characters
            ),
            topic=args.inference_topic,
        )
        settings = GatewaySettings(
            model=args.model.name,
            max_body_bytes=args.http.max_body_bytes,
            edge_token=_read_token(args.edge_token_path),
            max_in_flight=backend.capacity(),
        )
        self._gateway = Gateway(settings, wiring, KeyRing(keys_path(args.home)))
        self._warming = asyncio.create_task(self._warm())

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._gateway(scope, receive, send)

    async def _warm(self) -> None:
        """Get the replicas' model description before the first request needs it."""
        while True:
            try:
                await self._gateway.refresh()
            except ReplicaLost:
                await asyncio.sleep(_WARM_RETRY_SECONDS)
            else:
                return

    async def __del__(self) -> None:
        """Close the spool; Ray calls this method before it stops the process."""
        self._warming.cancel()
        if self._recorder is not None:
            self._recorder.close()
        self._metrics.stop()
        await asyncio.to_thread(self._provider.shutdown)


def build(args: AppArgs) -> serve.Application:
    """Return the application with the arguments `args`."""
    model = serve.deployment(
        name="Model",
        max_ongoing_requests=args.max_requests + args.model.queue,
        max_queued_requests=args.model.queue,
        ray_actor_options={"num_cpus": _MODEL_CPUS, "num_gpus": _gpus(args.model)},
        autoscaling_config=AutoscalingConfig(
            min_replicas=args.model.min_replicas,
            max_replicas=args.model.replica_limit,
            target_ongoing_requests=args.model.target_ongoing_requests,
        ),
        health_check_period_s=_HEALTH_CHECK_SECONDS,
        health_check_timeout_s=_HEALTH_TIMEOUT_SECONDS,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=_STOP_SECONDS,
    )(Model)
    gateway = serve.deployment(
        name="Gateway",
        num_replicas=args.http.gateways,
        max_ongoing_requests=_GATEWAY_ONGOING,
        ray_actor_options={"num_cpus": _GATEWAY_CPUS},
        health_check_period_s=_HEALTH_CHECK_SECONDS,
        health_check_timeout_s=_HEALTH_TIMEOUT_SECONDS,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=_STOP_SECONDS,
    )(serve.ingress(_ingress)(GatewayIngress))
    application: serve.Application = gateway.bind(model.bind(args), args)
    return application


def _gpus(settings: ModelSettings) -> float:
    """Return the number of GPUs of a replica: 1 if Ray has a GPU and the settings allow a GPU, else 0."""
    if settings.device == "cpu" or not is_initialized():
        return 0
    resources: dict[str, float] = cluster_resources()  # type: ignore[no-untyped-call] # Ray has no types for it
    return 1 if resources.get("GPU", 0) >= 1 else 0


def _backend(model: Any, args: AppArgs) -> RayBackend:
    return RayBackend(
        model,
        max_requests=args.max_requests,
        max_queued=args.model.queue,
        replicas=args.model.replica_limit,
        gateways=args.http.gateways,
    )


def _model_dir(args: AppArgs) -> Path:
    """Return the model's directory; install the model on this node if there is no `model_dir`."""
    if args.model_dir != Path():
        return args.model_dir
    cache = Path(args.model.cache).expanduser() if args.model.cache else None
    return ensure(args.model.name, cache, args.model.source).path


def _read_token(path: str) -> str:
    return Path(path).read_text(encoding="ascii").strip() if path else ""


def _log_to_stderr() -> None:
    """Log to stderr, which Ray writes to a file; log records contain ids, never prompts or answers."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
