"""The watch app: three agents, each with a table that has the same partitions as the topic that the agent reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from detectors.base import StreamDetector
from detectors.registry import STREAM, create_stream
from stream.dead_letters import DeadLetters
from stream.runtime.app import BaseApp, create_base_app
from stream.settings import KafkaSettings, TenantSettings, WatchSettings, cached_tenant_settings
from stream.stages.alert.agent import AlertStage
from stream.stages.retrain.agent import RetrainStage
from stream.stages.shared.metrics import WatchMetrics
from stream.stages.shared.stage import Stage, StageContext, drain
from stream.stages.shared.state_codec import offset_order
from stream.stages.watch.agent import WatchStage
from stream.stages.watch.machine import Detectors, WatchRules
from stream.stages.watch.state import order as watch_order


def stream_detectors(settings: TenantSettings) -> dict[str, StreamDetector[Any]]:
    """Return {name: new stream detector} with a tenant's options."""
    return {name: create_stream(name, settings.detector_options(name)) for name in STREAM}


def create_app(  # noqa: PLR0913 - the parts of a process, by name
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

    `tenants` is {tenant name or pattern: settings}; no other worker may use `data_dir`. Raises ConfigError if any
    tenant's settings contain an unknown option of a stream detector, or a value out of its bounds.
    """
    by_tenant = cached_tenant_settings(tenants)
    for pattern in ("", *tenants):  # a wrong option is an error at the start, not at the first event
        stream_detectors(by_tenant(pattern))
    app = create_base_app(f"{settings.topic_prefix}watch", settings, data_dir=data_dir)
    metrics = WatchMetrics(registry)

    async def revoked(*_: Any, **__: Any) -> None:
        metrics.forget_partitions()

    app.on_partitions_revoked.connect(revoked)
    context = StageContext(
        app, by_tenant, tracer_provider.get_tracer("weir.watch"), metrics, _dead_letters(app, registry)
    )
    names, count = settings.names, settings.stream_partitions
    rules = WatchRules(
        partitions=settings.partitions,
        source_silence_seconds=watch.source_silence_seconds,
        tenants=by_tenant,
        detectors=detectors,
    )
    watching = WatchStage(context, app.raw_table("streams", count, watch_order), watch, rules)
    app.held[names.signals] = watching.held
    _add_agent(app, watching, names.signals)
    _add_agent(app, AlertStage(context, app.raw_table("alerts", count, offset_order)), names.findings)
    # Both topics share key, partition count and partitioner, so one table fits (docs/design/traps.md 16).
    retraining = RetrainStage(context, app.raw_table("retraining", count, offset_order))
    _add_agent(app, retraining, names.alerts, names.retraining)
    return app


def _add_agent(app: BaseApp, stage: Stage, *topics: str) -> None:
    async def agent(stream: Any) -> None:
        await drain(stream, stage.handle)

    app.agent(app.raw_topic(*topics, partitions=app.kafka.stream_partitions), name=stage.name)(agent)


def _dead_letters(app: BaseApp, registry: CollectorRegistry) -> dict[str, DeadLetters]:
    topic = app.kafka.names.dead_letters
    first = DeadLetters(app.publisher, topic, "watch", registry=registry)
    others = (DeadLetters(app.publisher, topic, stage, counter=first.counter) for stage in ("alert", "retrain"))
    return dict(zip(("watch", "alert", "retrain"), (first, *others), strict=True))
