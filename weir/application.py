"""The Serve application for a Ray cluster: ``import_path: weir.application:build`` in a Serve config (KubeRay's ``serveConfigV2``).

A Ray cluster starts the application in a container that has only settings. This module reads them once and passes them to every replica.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from serving.deployments import AppArgs
from serving.deployments import build as build_application
from stream.telemetry import TraceSettings
from weir.settings import Settings, load_settings

__all__ = ["ClusterArgs", "application_args", "build"]


class ClusterArgs(BaseModel):
    """The arguments of the Serve config: none, because the settings contain all values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def application_args(settings: Settings, traces: TraceSettings, **paths: Any) -> AppArgs:
    """Return the arguments of the application; `paths` may contain `model_dirs` and `edge_token_path`."""
    return AppArgs(
        home=settings.home,
        http=settings.http,
        models=settings.served_models(),
        capture=settings.capture,
        expected_input=settings.detectors.input,
        expected_output=settings.detectors.output,
        context_characters=settings.detectors.context_characters,
        guards=settings.guards,
        metrics_host=settings.metrics.host,
        metrics_port=settings.metrics.serving_port,
        inference_topic=settings.kafka.names.inference,
        trace_endpoint=traces.endpoint,
        trace_headers=traces.headers,
        trace_ratio=traces.ratio,
        **paths,
    )


def build(args: ClusterArgs) -> Any:
    """Return the application for this container's settings; Ray shows a SettingsError as the reason of the failed start."""
    del args
    settings = load_settings().settings
    trace = settings.trace
    traces = TraceSettings(endpoint=trace.endpoint, headers=trace.endpoint.headers, ratio=trace.ratio)
    return build_application(application_args(settings, traces))
