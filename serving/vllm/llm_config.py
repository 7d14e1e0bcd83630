"""The settings of a model as the fields of Ray Serve LLM's ``LLMConfig``."""

from typing import Any

from serving.settings import ModelSettings
from stream.section import overlaid

__all__ = ["config_fields"]

_REPLICA_CPUS = 0.2
_HEALTH_CHECK_SECONDS = 1.0
_HEALTH_TIMEOUT_SECONDS = 15.0
#: As in :mod:`serving.deployments`.
_DRAIN_SECONDS = 600.0
#: As in Weir's own check of requests: the limit of the field `n`.
_MAX_CHOICES = 16


def config_fields(name: str, settings: ModelSettings, *, on_cpu: bool) -> dict[str, Any]:
    """Return the fields for the model that clients call `name`; ``model.llm_config`` and ``model.engine_kwargs`` take precedence.

    The source of the model is its name; each replica replaces it with the model's directory on the replica's node.
    """
    fields: dict[str, Any] = {
        "model_loading_config": {"model_id": name, "model_source": settings.name},
        "engine_kwargs": {"dtype": settings.dtype, "max_num_seqs": settings.slots_or_default} | settings.engine_kwargs,
        "deployment_config": _deployment(settings),
        "runtime_env": {"env_vars": {"VLLM_NO_USAGE_STATS": "1", "VLLM_MAX_N_SEQUENCES": str(_MAX_CHOICES)}},
        # 0: a replica joins the chunks itself (serving.replica.coalesce).
        "experimental_configs": {"stream_batching_interval_ms": 0},
        # False: vLLM writes its metrics into the registry of the process, which Weir exports beside its own.
        "log_engine_metrics": False,
    }
    if on_cpu:
        fields["placement_group_config"] = {"bundles": [{"CPU": 1}]}
    return overlaid(fields, settings.llm_config)


def _deployment(settings: ModelSettings) -> dict[str, Any]:
    return {
        "max_ongoing_requests": settings.max_requests,
        "max_queued_requests": settings.queue,
        "ray_actor_options": {"num_cpus": _REPLICA_CPUS},
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.replica_limit,
            "target_ongoing_requests": settings.target_ongoing_requests,
        },
        "health_check_period_s": _HEALTH_CHECK_SECONDS,
        "health_check_timeout_s": _HEALTH_TIMEOUT_SECONDS,
        "graceful_shutdown_wait_loop_s": 0.2,
        "graceful_shutdown_timeout_s": _DRAIN_SECONDS,
    }
