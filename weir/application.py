"""The Serve application for a Ray cluster: ``import_path: weir.application:build`` in a Serve config (KubeRay's ``serveConfigV2``).

Ray calls :func:`build` in a container. The function reads the container's settings once, for all replicas.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from serving.deployments import AppArgs
from serving.deployments import build as build_application
from serving.inference_records import ExpectedVerdicts
from stream.telemetry import TraceSettings
from weir.settings import Settings, load_settings


class ClusterArgs(BaseModel):
    """The arguments of the Serve config. The class has no fields, because the settings contain all values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def application_args(settings: Settings, traces: TraceSettings, **paths: Any) -> AppArgs:
    """Return the arguments of the application; `paths` may contain `model_dirs` and `edge_token_path`."""
    detectors = settings.detectors
    return AppArgs(
        home=settings.home,
        http=settings.http,
        models=settings.served_models(),
        capture=settings.capture,
        expected=ExpectedVerdicts(
            input=detectors.input, output=detectors.output, context_characters=detectors.context_characters
        ),
        tenants=settings.tenants,
        metrics_host=settings.metrics.host,
        metrics_port=settings.metrics.serving_port,
        inference_topic=settings.kafka.names.inference,
        traces=traces,
        **paths,
    )


def build(args: ClusterArgs) -> Any:
    """Return the application for this container's settings.

    Raises SettingsError if a setting is invalid; Ray shows this error as the reason why the start failed.
    """
    del args
    settings = load_settings().settings
    trace = settings.trace
    traces = TraceSettings(endpoint=trace.endpoint, headers=trace.endpoint.headers, ratio=trace.ratio)
    return build_application(application_args(settings, traces))
