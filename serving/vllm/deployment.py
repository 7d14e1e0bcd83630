"""Build the deployments of a model that vLLM runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.llm import LLMConfig, build_dp_deployment, build_llm_deployment

from serving.settings import ModelSettings
from serving.vllm.llm_config import config_fields
from serving.vllm.vllm_server import VllmDataParallelServer, VllmDecodeServer, VllmPrefillServer, VllmServer
from stream.section import overlaid


def vllm_application(  # noqa: PLR0913 - the parts of a deployment, each by name
    name: str,
    settings: ModelSettings,
    deployment_name: str,
    *,
    on_cpu: bool,
    model_dir: Callable[[], Path],
    metrics: Callable[[], Any],
    logs: Path,
) -> serve.Application:
    """Return the deployment for the model that clients call `name`; with ``model.prefill``, prefill replicas are behind it.

    `on_cpu` is whether the replicas need no GPU: Ray has none, and none will join, as under KubeRay. `model_dir` and `metrics` run
    on the replica, which logs to the folder `logs`; see :mod:`serving.vllm.vllm_server`.
    """
    bound: dict[str, Any] = {"settings": settings, "model_dir": model_dir, "metrics": metrics, "logs": logs}
    fields = config_fields(name, settings, on_cpu=on_cpu)
    config = LLMConfig(**fields)
    if settings.prefill:
        prefill = LLMConfig(**overlaid(fields, settings.prefill))
        reader = _built(prefill, VllmPrefillServer, f"{deployment_name}-prefill", bound)
        return _built(config, VllmDecodeServer, deployment_name, bound | {"prefill_server": reader})
    parallel = config.engine_kwargs.get("data_parallel_size", 1) > 1
    return _built(config, VllmDataParallelServer if parallel else VllmServer, deployment_name, bound)


def _built(config: LLMConfig, server: type, name: str, bound: dict[str, Any]) -> serve.Application:
    build = build_dp_deployment if server is VllmDataParallelServer else build_llm_deployment
    application: serve.Application = build(
        config, deployment_cls=server, bind_kwargs=bound, override_serve_options={"name": name}
    )
    return application
