"""The score app: one stateless agent over inference, and its model processes."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from detectors.errors import DetectorError
from detectors.models.compute import Compute
from stream.dead_letters import DeadLetters
from stream.runtime.app import BaseApp, create_base_app
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings, cached_tenant_settings
from stream.stages.score.agent import ScoreAgent, ScoreParts
from stream.stages.score.batches import Batcher
from stream.stages.score.explanations import Explainer
from stream.stages.score.metrics import ScoreMetrics
from stream.stages.score.model_pool import ModelPool
from stream.stages.score.model_process import ModelSpec, make_embedder
from stream.stages.score.spans import ScoreSpans
from stream.wire import OWN_TENANT, Event

_UNKNOWN_VERSION = "unknown"


def model_spec(detectors: DetectorSettings, score: ScoreSettings) -> ModelSpec:
    """Return the models that each model process loads: `precision` ``auto`` selects float32, `device` ``auto`` the CPU."""
    compute = Compute(
        precision="float32" if score.precision == "auto" else score.precision,
        device="cpu" if score.device == "auto" else score.device,
    )
    return ModelSpec(
        detectors=tuple(dict.fromkeys((*detectors.input, *detectors.output))),
        options=detectors.options,
        threads=score.threads,
        embedder=functools.partial(make_embedder, compute=compute),
    )


def create_app(  # noqa: PLR0913 - three sections of settings, and the parts of a process
    settings: KafkaSettings,
    detectors: DetectorSettings,
    score: ScoreSettings,
    tenants: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    data_dir: Path,
    registry: CollectorRegistry,
    tracer_provider: TracerProvider,
    spec: ModelSpec | None = None,
) -> BaseApp:
    """Return the Faust app ``score``, to be run by :func:`stream.runtime.worker.run`.

    No other worker may use `data_dir`. `spec` defaults to the models of the settings. Of `tenants` ({name or pattern: settings}), only
    `drift_by_part` and `tool_names` are used. Raises DetectorError if a detector or an option is unknown.
    """
    names = settings.names
    app = create_base_app(f"{settings.topic_prefix}score", settings, data_dir=data_dir)
    spec = spec or model_spec(detectors, score)
    version_of = _versions(spec)
    pool = ModelPool(spec, workers=score.processes, deadline_seconds=score.deadline_seconds, progress=app.progress)
    metrics = ScoreMetrics(registry)
    spans = ScoreSpans(tracer_provider, names.inference, app.conf.id)
    batcher = Batcher(pool, events=score.batch_events, spans=spans)

    async def publish(partition: int, event: Event) -> None:
        await app.publisher.publish(names.verdicts, event, partition=partition, traceparent=event.traceparent)

    explainer = Explainer(pool, batcher.quiet, publish, metrics, findings=score.explain_findings)
    by_tenant = cached_tenant_settings(tenants or {})
    parts = ScoreParts(
        batcher=batcher,
        dead_letters=DeadLetters(app.publisher, names.dead_letters, "score", registry=registry),
        spans=spans,
        metrics=metrics,
        version_of=version_of,
        explain=explainer.offer,
        embedding_sample=detectors.embedding_sample,
        outstanding=score.outstanding_events,
        by_part=lambda tenant: tenant != OWN_TENANT and by_tenant(tenant).drift_by_part,
        name_tools=lambda tenant: by_tenant(tenant).tool_names,
    )
    agent = ScoreAgent(app, parts)

    async def run(stream: Any) -> None:  # Faust rejects a bound method
        await agent.run(stream)

    app.agent(app.raw_topic(names.inference, partitions=settings.partitions), name="score")(run)
    app.sources |= {
        names.verdicts: settings.partitions,
        names.signals: settings.stream_partitions,
        names.findings: settings.stream_partitions,
        names.dead_letters: 1,
    }
    app.background += [pool.start, batcher.run, explainer.run, agent.ticks.run, agent.watch_lag]
    app.closers.append(pool.stop)
    app.health_checks["models"] = lambda: "" if pool.loaded else "detectors are loading"
    return app


def _versions(spec: ModelSpec) -> Callable[[str], str]:
    """Return a function that returns a detector's version without loading weights; all detectors of `spec` must exist."""
    known = {name: spec.create(name, spec.options.get(name)).version for name in spec.detectors}

    @functools.lru_cache(maxsize=256)
    def version_of(name: str) -> str:
        if name in known:
            return known[name]
        try:
            return str(spec.create(name, spec.options.get(name)).version)
        except DetectorError:
            return _UNKNOWN_VERSION

    return version_of
