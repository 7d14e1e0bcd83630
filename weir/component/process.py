"""Set up and run a component: settings, ports, metrics with ``/healthz``, tracer, and an event loop that SIGTERM stops."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from stream.telemetry import STALLED, MetricsServer, Pages, TraceSettings, shut_down, tracer_provider
from weir.errors import StackError
from weir.home.ports import PORT_NAMES, ensure_ports, in_url, load_ports, ports_path
from weir.settings import Settings, load_settings
from weir.settings.detector_options import check_detector_options

_HEARTBEAT_SECONDS = 1.0
_STALLED_SECONDS = 10.0
_DETECTOR_COMPONENTS = {"score", "watch"}


class Process(msgspec.Struct, kw_only=True):
    """Settings, ports, metrics registry, tracer and health of a running component."""

    name: str
    settings: Settings
    ports: dict[str, int]
    registry: CollectorRegistry
    tracer: TracerProvider
    health: dict[str, object] = msgspec.field(default_factory=lambda: {"start": "loading"})
    checks: list[Callable[[], dict[str, object]]] = []

    @property
    def home(self) -> Path:
        """The stack's home."""
        return self.settings.home

    @property
    def data_dir(self) -> Path:
        """The component's own folder, created if it is missing."""
        path = self.home / "data" / self.name
        path.mkdir(parents=True, exist_ok=True)
        return path


def trace_settings(settings: Settings, ports: dict[str, int]) -> TraceSettings:
    """Return the trace exporter's settings: the configured endpoint, else the local MLflow, else no endpoint."""
    endpoint, headers = str(settings.trace.endpoint), settings.trace.endpoint.headers
    if not endpoint and settings.mlflow.enabled:
        endpoint = f"http://127.0.0.1:{ports['mlflow']}/v1/traces"
        headers = {"x-mlflow-experiment-id": "0"}  # the only one that a new MLflow has
    return TraceSettings(endpoint=endpoint, headers=headers, ratio=settings.trace.ratio)


@contextlib.contextmanager
def running(name: str, pages: Callable[[Process], Pages | None] = lambda _process: None) -> Iterator[Process]:
    """Set up component `name`, and serve its metrics, health and `pages` while the body runs.

    Raises SettingsError if a setting is invalid. Raises StackError if the settings have no Kafka address and no stack
    was started in this home, or if the port is in use.
    """
    loaded = load_settings()
    if name in _DETECTOR_COMPONENTS:
        check_detector_options(loaded)
    settings = loaded.settings
    ports = process_ports(settings)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    tracer = tracer_provider(name, trace_settings(settings, ports))
    process = Process(name=name, settings=settings, ports=ports, registry=registry, tracer=tracer)
    host, port = settings.metrics.host, settings.metrics.port or ports[name]
    try:
        server = MetricsServer(registry, port, lambda: _reasons(process), host=host, pages=pages(process)).start()
    except OSError as error:
        raise StackError(
            f"{name} cannot listen on {in_url(host)}:{port} (metrics and health): {error.strerror}; end the process that listens there, "
            f"which may be another {name} of {settings.home}, or set another port (WEIR_METRICS__PORT)"
        ) from error
    try:
        yield process
    finally:
        server.stop()
        shut_down(tracer)


def process_ports(settings: Settings) -> dict[str, int]:
    """Return the stack's ports; choose new ports if this home has none and the settings have a Kafka address."""
    if settings.kafka.bootstrap_servers and not ports_path(settings.home).exists():
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        ensure_ports(settings.home, PORT_NAMES)
    return load_ports(settings.home)


def run_async(process: Process, work: Callable[..., Awaitable[None]]) -> int:
    """Run ``work(stop=event)`` until it ends; SIGTERM and SIGINT set the event."""

    async def main_task() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        beat = asyncio.create_task(_heartbeat(process.health))
        process.health.pop("start", None)
        try:
            await work(stop=stop)
        finally:
            beat.cancel()

    asyncio.run(main_task())
    return 0


async def _heartbeat(health: dict[str, object]) -> None:
    """Store the time in `health` every second, so that the thread of ``/healthz`` can detect a blocked event loop."""
    while True:
        health["_beat"] = time.monotonic()
        await asyncio.sleep(_HEARTBEAT_SECONDS)


def _reasons(process: Process) -> dict[str, object]:
    # A copy: this is another thread than the event loop's, which changes `health`.
    reasons = {name: reason for name, reason in process.health.copy().items() if not name.startswith("_")}
    for check in process.checks:
        reasons |= check()
    beat = process.health.get("_beat")
    if isinstance(beat, float) and (stalled := time.monotonic() - beat) > _STALLED_SECONDS:
        reasons[STALLED] = f"stalled for {stalled:.0f} s (limit {_STALLED_SECONDS:.0f} s)"
    return reasons
