"""The settings of a model as options of Ray Serve's deployments, and as the fields of Ray Serve LLM's ``LLMConfig``."""

from typing import Any

from serving.openai_api.request_model import MAX_N
from serving.settings import ModelSettings
from stream.section import overlaid

REPLICA_CPUS = 0.2
HEALTH_OPTIONS: dict[str, Any] = {
    "health_check_period_s": 1.0,
    "health_check_timeout_s": 15.0,
    "graceful_shutdown_wait_loop_s": 0.2,
}
#: A model replica that autoscaling stops gets no new requests, and has this time for its running answers.
_DRAIN_SECONDS = 600.0


def config_fields(name: str, settings: ModelSettings, *, on_cpu: bool) -> dict[str, Any]:
    """Return the fields for the model that clients call `name`; ``model.llm_config`` and ``model.engine_kwargs`` take precedence.

    The source of the model is its name; each replica replaces it with the model's directory on the replica's node.
    """
    variables = {"VLLM_NO_USAGE_STATS": "1", "VLLM_MAX_N_SEQUENCES": str(MAX_N)}
    if settings.engine_kwargs.get("allowed_media_domains"):
        # vLLM checks only the first address: an allowed host could redirect to an address inside the network.
        variables["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] = "0"
    fields: dict[str, Any] = {
        "model_loading_config": {"model_id": name, "model_source": settings.name},
        "engine_kwargs": {"dtype": settings.dtype, "max_num_seqs": settings.slots_or_default} | settings.engine_kwargs,
        "deployment_config": {
            "max_ongoing_requests": settings.max_requests,
            "ray_actor_options": {"num_cpus": REPLICA_CPUS},
        }
        | replica_options(settings),
        "runtime_env": {"env_vars": variables},
        # 0: a replica joins the chunks itself (serving.replica.coalesce).
        "experimental_configs": {"stream_batching_interval_ms": 0},
        # False: vLLM writes its metrics into the registry of the process, which Weir exports beside its own.
        "log_engine_metrics": False,
    }
    if on_cpu:
        fields["placement_group_config"] = {"bundles": [{"CPU": 1}]}
    return overlaid(fields, settings.llm_config)


def replica_options(settings: ModelSettings) -> dict[str, Any]:
    """Return the options of a model's deployment that do not depend on its engine."""
    return HEALTH_OPTIONS | {
        "max_queued_requests": settings.queue,
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.target_ongoing_requests,
        },
        "graceful_shutdown_timeout_s": _DRAIN_SECONDS,
    }
