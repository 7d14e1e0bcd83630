"""The watch app: three agents, each with a table that is partitioned like the topic it reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from detectors.base import StreamDetector
from detectors.registry import STREAM, create_stream
from stream.dead_letters import DeadLetters
from stream.runtime.app import BaseApp, create_base_app
from stream.settings import KafkaSettings, TenantSettings, WatchSettings, tenant_settings
from stream.stages.alert.agent import AlertStage
from stream.stages.alert.state import order as alert_order
from stream.stages.retrain.agent import RetrainStage
from stream.stages.retrain.state import order as retraining_order
from stream.stages.shared.metrics import WatchMetrics
from stream.stages.shared.stage import StageContext, drain
from stream.stages.watch.agent import WatchStage
from stream.stages.watch.machine import Detectors, WatchRules
from stream.stages.watch.state import order as watch_order

__all__ = ["create_app", "stream_detectors"]


def stream_detectors(settings: TenantSettings) -> dict[str, StreamDetector[Any]]:
    """Return fresh stream detectors under a tenant's options, by name."""
    return {name: create_stream(name, settings.detector_options(name)) for name in STREAM}


def create_app(  # noqa: PLR0913 - what a process has to give, by name
    settings: KafkaSettings,
    watch: WatchSettings,
    tenants: Mapping[str, Mapping[str, Any]],
    *,
    data_dir: Path,
    registry: CollectorRegistry,
    tracer_provider: TracerProvider,
    detectors: Detectors = stream_detectors,
) -> BaseApp:
    """Return the Faust app ``watch``, to be run by :func:`stream.runtime.worker.run`.

    Parameters
    ----------
    settings
        Kafka; P and Q are `partitions` and `stream_partitions`.
    watch
        Windows and watermarks.
    tenants
        Settings by tenant name or pattern.
    data_dir
        This worker's own.
    detectors
        Makes a tenant's stream detectors, where they are not the registered ones (tests).

    Raises
    ------
    detectors.errors.ConfigError
        A stream detector has an unknown option, or a value out of its bounds, for some tenant.
    """
    known = _Tenants(tenants)
    known.check()
    app = create_base_app(f"{settings.topic_prefix}watch", settings, data_dir=data_dir)
    app.watchdog_seconds = watch.watchdog_seconds
    context = StageContext(
        app, known, tracer_provider.get_tracer("weir.watch"), WatchMetrics(registry), _dead_letters(app, registry)
    )
    _watch_agent(app, context, watch, detectors)
    _alert_agent(app, context)
    _retrain_agent(app, context)
    return app


class _Tenants:
    """Settings by tenant, worked out once each."""

    def __init__(self, patterns: Mapping[str, Mapping[str, Any]]) -> None:
        self._patterns = patterns
        self._known: dict[str, TenantSettings] = {}

    def __call__(self, tenant: str) -> TenantSettings:
        settings = self._known.get(tenant)
        if settings is None:
            settings = self._known[tenant] = tenant_settings(self._patterns, tenant)
        return settings

    def check(self) -> None:
        """Build every pattern's detectors once: a wrong option is an error at the start, not at the first event."""
        for pattern in ("", *self._patterns):
            stream_detectors(tenant_settings(self._patterns, pattern))


def _dead_letters(app: BaseApp, registry: CollectorRegistry) -> dict[str, DeadLetters]:
    topic = app.kafka.names.dead_letters
    first = DeadLetters(app.publisher, topic, "watch", registry=registry)
    others = (DeadLetters(app.publisher, topic, stage, counter=first.counter) for stage in ("alert", "retrain"))
    return dict(zip(("watch", "alert", "retrain"), (first, *others), strict=True))


def _watch_agent(app: BaseApp, context: StageContext, settings: WatchSettings, detectors: Detectors) -> None:
    rules = WatchRules(
        partitions=app.kafka.partitions,
        source_silence_seconds=settings.source_silence_seconds,
        tenants=context.tenants,
        detectors=detectors,
    )
    count = app.kafka.stream_partitions
    stage = WatchStage(context, app.raw_table("streams", count, watch_order), settings, rules)
    app.held = stage.held

    async def watch(stream: Any) -> None:
        await drain(stream, stage.handle)

    app.agent(app.raw_topic(context.names.signals, count), name="watch")(watch)


def _alert_agent(app: BaseApp, context: StageContext) -> None:
    count = app.kafka.stream_partitions
    stage = AlertStage(context, app.raw_table("alerts", count, alert_order))

    async def alert(stream: Any) -> None:
        await drain(stream, stage.handle)

    app.agent(app.raw_topic(context.names.findings, count), name="alert")(alert)


def _retrain_agent(app: BaseApp, context: StageContext) -> None:
    count = app.kafka.stream_partitions
    stage = RetrainStage(context, app.raw_table("retraining", count, retraining_order))

    async def retrain(stream: Any) -> None:
        await drain(stream, stage.handle)

    app.agent(_alerts_and_retraining(app, context), name="retrain")(retrain)


def _alerts_and_retraining(app: BaseApp, context: StageContext) -> Any:
    """Return one channel of both: they share key, count and partitioner, so that one table fits (faults.md, trap 16)."""
    names, count = (context.names.alerts, context.names.retraining), app.kafka.stream_partitions
    app.sources |= dict.fromkeys(names, count)
    return app.topic(
        *names,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=count,
        internal=False,
        allow_empty=True,
    )
