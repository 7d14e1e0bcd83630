"""The deployments of Ray Serve, called without Ray."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from support.spool import events_of
from support.tiny_gguf import save_tiny_gguf

from serving import deployments
from serving.capture.recorder import Recorder
from serving.deployments import AppArgs, GatewayIngress, build, version_server
from serving.engine.errors import ModelInvalidError, ModelNotFoundError
from serving.gateway.guard import Guards
from serving.inference_records import ExpectedVerdicts
from serving.settings import CaptureSettings, HttpSettings, ModelSettings
from serving.vllm.llm_config import config_fields
from stream.telemetry import TraceSettings
from stream.wire import Closed


async def test_a_gateway_closes_its_spool_even_if_a_connection_cannot_be_closed(tmp_path):
    async def close():
        raise OSError("no connection")

    recorder = Recorder(root=tmp_path, settings=CaptureSettings(), registry=CollectorRegistry())
    recorder.start()
    gateway = SimpleNamespace(
        _warming=asyncio.create_task(asyncio.sleep(0)),
        _guards=Guards({}, CollectorRegistry()),
        _upstreams={"x": SimpleNamespace(close=close)},
        _recorder=recorder,
    )
    with pytest.raises(OSError, match="no connection"):
        await GatewayIngress.__del__(gateway)
    (spool,) = tmp_path.iterdir()
    assert isinstance(events_of(spool)[-1].data, Closed)


def arguments(home, settings):
    return AppArgs(
        home=home,
        http=HttpSettings(),
        models={"m": settings},
        capture=CaptureSettings(),
        expected=ExpectedVerdicts(),
        metrics_host="127.0.0.1",
        metrics_port=0,
        inference_topic="weir.inference",
        traces=TraceSettings(endpoint="", headers={}, ratio=0),
    )


def test_a_version_whose_weights_are_missing_is_an_error_with_the_path(tmp_path):
    with pytest.raises(
        ModelNotFoundError, match=r"models/m_0123456789ab/model\.gguf does not exist: copy it from a backup"
    ):
        version_server(arguments(tmp_path, ModelSettings(name="some.gguf")), "m", "m_0123456789ab")


def test_a_version_whose_weights_are_truncated_is_an_error_with_the_path(tmp_path):
    folder = tmp_path / "loop" / "models" / "m_0123456789ab"
    weights = save_tiny_gguf(folder).rename(folder / "model.gguf")
    settings = arguments(tmp_path, ModelSettings(name="some.gguf", device="cpu"))
    version_server(settings, "m", "m_0123456789ab")
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)
    with pytest.raises(ModelInvalidError, match=r"model\.gguf \([\d,]+ bytes\) is incomplete or damaged"):
        version_server(settings, "m", "m_0123456789ab")


def test_a_replica_that_autoscaling_stops_has_at_least_the_time_of_an_upstream_server_for_its_answers(tmp_path):
    settings = ModelSettings(name="echo")
    (models, _) = build(arguments(tmp_path, settings))._bound_deployment.init_args
    own = models["m"]._bound_deployment._deployment_config.graceful_shutdown_timeout_s
    vllm = config_fields("echo", settings, on_cpu=False)["deployment_config"]["graceful_shutdown_timeout_s"]
    assert own == vllm
    assert own >= settings.upstream_read_seconds


@pytest.mark.parametrize(
    ("device", "directories", "gpus", "on_cpu"),
    [
        ("cuda", {}, 0, False),  # a cluster whose nodes with GPUs have not joined yet
        ("cuda", {"m": Path("/models/m")}, 0, True),  # one machine, without a GPU
        ("auto", {}, 0, True),
        ("auto", {}, 2, False),
    ],
)
def test_replicas_of_vllm_wait_for_a_gpu_of_a_cluster(tmp_path, monkeypatch, *, device, directories, gpus, on_cpu):
    built = []
    stub = SimpleNamespace(vllm_application=lambda *names, **options: built.append(options["on_cpu"]))
    monkeypatch.setitem(sys.modules, "serving.vllm.deployment", stub)
    monkeypatch.setattr(deployments, "is_initialized", lambda: True)
    monkeypatch.setattr(deployments, "cluster_resources", lambda: {"GPU": gpus})
    settings = arguments(tmp_path, ModelSettings(name="hub/model", engine="vllm", device=device))
    build(settings.model_copy(update={"model_dirs": directories}))
    assert built == [on_cpu]


@pytest.mark.parametrize(
    ("fields", "gpus"),
    [
        ({"engine": "openvino"}, 0),
        ({"engine": "echo"}, 0),
        ({"name": "echo"}, 0),
        ({"engine": "transformers"}, 1),
        ({"engine": "transformers", "name": "openvino"}, 1),
        ({"engine": "transformers", "device": "cpu"}, 0),
    ],
)
def test_only_a_replica_whose_engine_can_use_a_gpu_reserves_one(tmp_path, monkeypatch, fields, gpus):
    monkeypatch.setattr(deployments, "is_initialized", lambda: True)
    monkeypatch.setattr(deployments, "cluster_resources", lambda: {"GPU": 1})
    (models, _) = build(arguments(tmp_path, ModelSettings(**fields)))._bound_deployment.init_args
    assert models["m"]._bound_deployment.ray_actor_options["num_gpus"] == gpus
