"""The Serve application as a cluster starts it: ``import_path: weir.application:build`` in a Serve config (KubeRay's ``serveConfigV2``).

Why this exists: on one machine ``weir up`` starts Ray and hands the application its arguments. On a Ray cluster Ray starts it, in a container
that has nothing but settings; so they are read here, once, where the application is built, and every replica is handed the result.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from serving.deployments import AppArgs
from serving.deployments import build as build_application
from stream.telemetry import TraceSettings
from weir.settings import Settings, load_settings

__all__ = ["ClusterArgs", "application_args", "build"]


class ClusterArgs(BaseModel):
    """No arguments: what there is to say stands in the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def application_args(settings: Settings, traces: TraceSettings, **places: Any) -> AppArgs:
    """Return what the application is built from.

    Parameters
    ----------
    settings
        The effective ones.
    traces
        Where spans go.
    places
        `model_dir` and `edge_token_path`, where there are such.
    """
    return AppArgs(
        home=settings.home,
        http=settings.http,
        model=settings.model,
        capture=settings.capture,
        owed_input=settings.detectors.input,
        owed_output=settings.detectors.output,
        context_characters=settings.detectors.context_characters,
        metrics_host=settings.metrics.host,
        metrics_port=settings.metrics.serving_port,
        inference_topic=settings.kafka.names.inference,
        trace_endpoint=traces.endpoint,
        trace_headers=traces.headers,
        trace_ratio=traces.ratio,
        **places,
    )


def build(args: ClusterArgs) -> Any:
    """Return the application of this container's settings; each model replica installs its model on its own node.

    Raises
    ------
    SettingsError
        The settings are wrong; Ray shows the message as the reason why the application does not start.
    """
    del args
    settings = load_settings().settings
    return build_application(
        application_args(
            settings,
            TraceSettings(
                endpoint=settings.trace.endpoint, headers=settings.trace.endpoint.headers, ratio=settings.trace.ratio
            ),
        )
    )
