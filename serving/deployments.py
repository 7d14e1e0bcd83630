"""The Ray Serve application: gateways, which record requests, in front of model replicas and other servers.

``serving.deployments:build`` builds the application. A gateway is an ingress (an ASGI application). Each model has its own deployment, except
models of other servers, which the gateway calls itself. A model replica has an engine and, if Ray has a GPU, one GPU. The CPU requests are fractions, so that all replicas fit on two cores; `model.threads` sets the engine's threads.
"""

import asyncio
import contextlib
import importlib.util
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from pydantic import BaseModel, ConfigDict
from ray import cluster_resources, is_initialized, serve

from serving.api_keys import KeyRing, keys_path
from serving.backend import Backend, BackendLost, ModelInfo, ModelRequest
from serving.capture.recorder import Recorder
from serving.engine.catalogue import CATALOGUE
from serving.engine.errors import ModelNotFoundError
from serving.engine.factory import create_engine
from serving.engine.fetch_model import ensure
from serving.engine.gguf_file import check_whole_apart
from serving.gateway.gateway import Gateway, lifespan
from serving.gateway.guard import Guards
from serving.gateway.inference import Wiring
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.models import ServedModels
from serving.http import Receive, Scope, Send
from serving.inference_records import ExpectedVerdicts
from serving.metrics_port import MetricsPort
from serving.metrics_targets import MetricsTarget, register_target
from serving.ray_local.replica_port import keep_replica_on_loopback
from serving.replica.log_file import log_to
from serving.replica.metrics import EngineCollector
from serving.replica.model_server import ModelServer
from serving.replica.model_versions import ModelVersions
from serving.replica.ray_backend import RayBackend
from serving.routes import RouteTable
from serving.settings import ENGINES_WITHOUT_FILES, CaptureSettings, HttpSettings, ModelSettings
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_backend import UpstreamBackend
from serving.vllm.llm_config import HEALTH_OPTIONS, REPLICA_CPUS, replica_options
from serving.vllm.vllm_backend import VllmBackend
from stream.telemetry import MetricsServer, TraceSettings, tracer_provider
from stream.wire.route_files import version_weights

APP_NAME = "weir"
_UPSTREAM = "upstream"
_GATEWAY_CPUS = 0.1
#: More than a gateway accepts, so that the gateway rejects excess requests itself, in OpenAI's format.
_GATEWAY_ONGOING = 10_000
_STOP_SECONDS = 2.0
_WARM_RETRY_SECONDS = 0.5
#: Characters of a model's name that the name of a deployment does not contain.
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9]+")


class AppArgs(BaseModel):
    """The arguments of the application; `models` are the served models by the names that clients use.

    A model without an entry in `model_dirs` (see ``serving.engine.fetch_model.ensure``) is installed by each replica on its own node.
    `edge_token_path` is ``RayLayout.edge_token_path``, or "" if there is no HAProxy. `inference_topic` is the topic of
    prompts and answers; spans contain the topic's name instead of the text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    home: Path
    http: HttpSettings
    models: dict[str, ModelSettings]
    capture: CaptureSettings
    expected: ExpectedVerdicts
    tenants: dict[str, dict[str, Any]] = {}
    metrics_host: str
    metrics_port: int
    inference_topic: str
    traces: TraceSettings
    model_dirs: dict[str, Path] = {}
    edge_token_path: str = ""

    @property
    def metrics_dir(self) -> Path:
        """The folder in which :mod:`serving.metrics_targets` stores the metrics addresses."""
        return self.home / "run" / "metrics"


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

    async def __init__(self, args: AppArgs, name: str) -> None:  # type: ignore[misc] # Ray awaits it
        keep_replica_on_loopback()
        log_to(args.home / "logs")
        settings = args.models[name]
        engine = create_engine(settings, await asyncio.to_thread(_model_dir, args, name))
        self._server = ModelServer(engine, max_requests=settings.max_requests)
        await self._server.load()
        routes = RouteTable(args.home)
        self._versions = ModelVersions(
            self._server, partial(version_server, args, name), partial(routes.versions, name)
        )
        self._following = asyncio.create_task(self._versions.follow())
        self._metrics = _Metrics(args, "model")
        EngineCollector(engine.stats, self._metrics.registry)

    async def describe(self) -> ModelInfo:
        """Return the model description and the replica's load."""
        return self._versions.describe()

    def check_health(self) -> None:
        """Raise an error if the engine has ended; Ray calls this method each second and then replaces the replica."""
        self._server.check_health()

    async def generate(self, request: ModelRequest) -> Any:
        """Generate an answer; see :meth:`serving.replica.model_versions.ModelVersions.generate`."""
        async with contextlib.aclosing(self._versions.generate(request)) as items:
            async for item in items:
                yield item

    async def __del__(self) -> None:
        """End all generations; Ray calls this method before it stops the process."""
        self._metrics.stop()
        self._following.cancel()
        await self._versions.close()


def version_server(args: AppArgs, name: str, version: str) -> ModelServer:
    """Return the server of a trained version of the model `name`, not loaded.

    Raises ModelNotFoundError without the weights, and ModelInvalidError if the file is not complete, as during a copy.
    """
    settings, weights = args.models[name], version_weights(args.home, version)
    if settings.engine not in ENGINES_WITHOUT_FILES:
        if not weights.is_file():
            raise ModelNotFoundError(f"{weights} does not exist: copy it from a backup, or run `weir route kill`")
        check_whole_apart(weights)
    return ModelServer(create_engine(settings, weights), max_requests=settings.max_requests)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Call this process's gateway, which Ray creates later than this ASGI application."""
    if scope["type"] == "lifespan":  # comes before Ray has set the context
        await lifespan(receive, send)
        return
    ingress: Any = serve.get_replica_context().servable_object
    await ingress.gateway(scope, receive, send)


class GatewayIngress:
    """The gateway's deployment: a :class:`~serving.gateway.gateway.Gateway` in a Ray process."""

    async def __init__(self, handles: dict[str, Any], args: AppArgs) -> None:  # type: ignore[misc] # Ray awaits it
        keep_replica_on_loopback()
        log_to(args.home / "logs")
        self._metrics = _Metrics(args, "gateway")
        self._provider = tracer_provider("gateway", args.traces)
        self._recorder: Recorder | None = None
        if args.capture.enabled:
            self._recorder = Recorder(root=args.home / "spool", settings=args.capture, registry=self._metrics.registry)
            self._recorder.start()
        self._guards = Guards(args.tenants, self._metrics.registry)
        await self._guards.load()
        wiring = Wiring(
            recorder=self._recorder,
            metrics=GatewayMetrics(self._metrics.registry),
            tracer=self._provider.get_tracer("weir.serving"),
            expected=args.expected,
            topic=args.inference_topic,
            guards=self._guards,
            routes=RouteTable(args.home),
            tenants=args.tenants,
        )
        metrics = UpstreamMetrics(self._metrics.registry)
        self._upstreams = {
            name: UpstreamBackend(name, model, metrics)
            for name, model in args.models.items()
            if model.engine == _UPSTREAM
        }
        backends: dict[str, Backend] = {**self._upstreams, **_backends(handles, args)}
        in_order = (*args.models, *backends)  # models as in the settings, then adapters
        with_images = {served for name, model in args.models.items() if model.images for served in (name, *model.lora)}
        self._models = ServedModels({name: backends[name] for name in in_order}, with_images)
        keys, token = KeyRing(keys_path(args.home)), _read_token(args.edge_token_path)
        self.gateway = Gateway(args.http, wiring, self._models, keys, token)
        self._warming = asyncio.create_task(self._warm())

    async def _warm(self) -> None:
        """Get the models' descriptions before the first request needs them."""
        while True:
            try:
                await self._models.describe()
            except BackendLost:
                await asyncio.sleep(_WARM_RETRY_SECONDS)
            else:
                return

    async def __del__(self) -> None:
        """Close the spool and all connections; Ray calls this method before it stops the process."""
        try:
            self._warming.cancel()
            self._guards.close()
            for upstream in self._upstreams.values():
                await upstream.close()
        finally:
            if self._recorder is not None:
                self._recorder.close()
        self._metrics.stop()
        await asyncio.to_thread(self._provider.shutdown)


def build(args: AppArgs) -> serve.Application:
    """Return the application with the arguments `args`."""
    names = [name for name, model in args.models.items() if model.engine != _UPSTREAM]
    models = {name: _deployed(args, name, is_only=len(names) == 1) for name in names}
    gateway = serve.deployment(
        name="Gateway",
        num_replicas=args.http.gateways,
        max_ongoing_requests=_GATEWAY_ONGOING,
        ray_actor_options={"num_cpus": _GATEWAY_CPUS},
        graceful_shutdown_timeout_s=_STOP_SECONDS,
        **HEALTH_OPTIONS,
    )(serve.ingress(lambda: _answer)(GatewayIngress))
    application: serve.Application = gateway.bind(models, args)
    return application


def _deployed(args: AppArgs, name: str, *, is_only: bool) -> serve.Application:
    settings = args.models[name]
    deployed_name = "Model" if is_only else f"Model-{_UNNAMEABLE.sub('-', name)}"
    gpus = _gpus(settings)
    if _uses_vllm(settings, args.model_dirs.get(name), gpus):
        from serving.vllm.deployment import vllm_application  # noqa: PLC0415 - imports vLLM

        return vllm_application(
            name,
            settings,
            deployed_name,
            on_cpu=not gpus and (settings.device != "cuda" or name in args.model_dirs),
            model_dir=partial(_model_dir, args, name),
            metrics=partial(_Metrics, args, "model"),
            logs=args.home / "logs",
        )
    deployment = serve.deployment(
        name=deployed_name,
        max_ongoing_requests=settings.max_requests + settings.queue,
        ray_actor_options={"num_cpus": REPLICA_CPUS, "num_gpus": gpus},
        **replica_options(settings),
    )(Model)
    application: serve.Application = deployment.bind(args, name)
    return application


def _gpus(settings: ModelSettings) -> float:
    """Return the number of GPUs of a replica: 1 if Ray has a GPU, and the engine and the settings allow a GPU, else 0."""
    if settings.device == "cpu" or not is_initialized() or settings.engine in {"openvino", *ENGINES_WITHOUT_FILES}:
        return 0
    resources: dict[str, float] = cluster_resources()  # type: ignore[no-untyped-call] # Ray has no types for it
    return 1 if resources.get("GPU", 0) >= 1 else 0


def _uses_vllm(settings: ModelSettings, model_dir: Path | None, gpus: float) -> bool:
    """Return whether vLLM runs the model; with the engine `auto`, vLLM needs a GPU and a model in Hugging Face's format."""
    if settings.engine != "auto":
        return settings.engine == "vllm"
    if not gpus or importlib.util.find_spec("vllm") is None:
        return False
    if model_dir is not None:
        return (model_dir / "config.json").is_file()
    return settings.name not in CATALOGUE and not settings.name.endswith(".gguf")


def _backends(handles: dict[str, Any], args: AppArgs) -> dict[str, Backend]:
    """Return the backends by the names that clients use: models, and LoRA adapters."""
    backends = {name: _backend(name, handles, args) for name in handles}
    for name in handles:
        backends |= {adapter: _backend(name, handles, args, adapter) for adapter in args.models[name].lora}
    return backends


def _backend(name: str, handles: dict[str, Any], args: AppArgs, adapter: str = "") -> Backend:
    settings, gateways = args.models[name], args.http.gateways
    if _uses_vllm(settings, args.model_dirs.get(name), _gpus(settings)):
        return VllmBackend(handles[name], settings, gateways, adapter)
    return RayBackend(handles[name], settings, gateways)


def _model_dir(args: AppArgs, name: str) -> Path:
    """Return the model's directory; install the model on this node if it has no entry in `model_dirs`."""
    if (found := args.model_dirs.get(name)) is not None:
        return found
    settings = args.models[name]
    if settings.engine in ENGINES_WITHOUT_FILES:
        return Path()
    cache = Path(settings.cache).expanduser() if settings.cache else None
    return ensure(settings.name, cache, settings.source).path


def _read_token(path: str) -> str:
    return Path(path).read_text(encoding="ascii").strip() if path else ""
