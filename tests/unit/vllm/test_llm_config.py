"""The configuration of Ray Serve LLM from the settings, and the selection of models that vLLM runs."""

import pytest
from pydantic import ValidationError

from serving.backend import ModelRequest
from serving.deployments import _uses_vllm
from serving.settings import ModelSettings
from serving.vllm.llm_config import config_fields
from serving.vllm.vllm_backend import RoutedRequest
from stream.section import overlaid

TENSOR = {"tensor_parallel_size": 2}


def fields(*, on_cpu=False, **settings):
    return config_fields("m", ModelSettings(engine="vllm", name="/models/m", **settings), on_cpu=on_cpu)


def test_settings_are_written_to_the_fields():
    found = fields(slots=5, queue=7, min_replicas=2, max_replicas=3, dtype="bfloat16", engine_kwargs=TENSOR)
    assert found["model_loading_config"] == {"model_id": "m", "model_source": "/models/m"}
    assert found["engine_kwargs"] == {"dtype": "bfloat16", "max_num_seqs": 5, "tensor_parallel_size": 2}
    deployment = found["deployment_config"]
    assert (deployment["max_ongoing_requests"], deployment["max_queued_requests"]) == (12, 7)
    assert deployment["autoscaling_config"] == {"min_replicas": 2, "max_replicas": 3, "target_ongoing_requests": 8}
    assert "placement_group_config" not in found, "Ray Serve LLM creates the bundles of GPUs itself"


def test_a_cpu_has_its_own_bundle():
    assert fields(on_cpu=True)["placement_group_config"] == {"bundles": [{"CPU": 1}]}


def test_given_fields_override_those_of_settings_and_tables_are_merged():
    given = {
        "accelerator_type": "L4",
        "deployment_config": {"max_queued_requests": 1, "request_router_config": {"a": 1}},
    }
    found = fields(engine_kwargs={"dtype": "half"}, llm_config=given)
    assert (found["engine_kwargs"]["dtype"], found["accelerator_type"]) == ("half", "L4")
    assert found["deployment_config"]["max_queued_requests"] == 1
    assert found["deployment_config"]["max_ongoing_requests"] > 1


def test_an_allowed_host_of_images_cannot_redirect_to_another_host():
    """vLLM follows redirects unless this variable is 0, and does not check their hosts."""
    name = "VLLM_MEDIA_URL_ALLOW_REDIRECTS"
    limited = {"engine_kwargs": {"allowed_media_domains": ["images.example.com"]}}
    assert fields(**limited)["runtime_env"]["env_vars"][name] == "0"
    assert name not in fields()["runtime_env"]["env_vars"]
    given = {"runtime_env": {"env_vars": {name: "1"}}}
    assert fields(**limited, llm_config=given)["runtime_env"]["env_vars"][name] == "1"


def test_prefill_replicas_have_the_fields_of_decode_replicas_with_their_changes():
    decode = fields(engine_kwargs=TENSOR)
    found = overlaid(decode, {"engine_kwargs": {"max_num_seqs": 2}})
    assert found["engine_kwargs"] == decode["engine_kwargs"] | {"max_num_seqs": 2}
    assert found["deployment_config"] == decode["deployment_config"]
    assert decode["engine_kwargs"]["max_num_seqs"] == 8


@pytest.mark.parametrize("name", ["engine_kwargs", "lora", "llm_config", "prefill"])
def test_the_tables_of_vllm_need_the_engine_vllm(name):
    with pytest.raises(ValidationError, match=f"{name} is set, but engine is 'auto'"):
        ModelSettings(**{name: {"a": "b"}})


def test_separate_prefill_needs_gpus():
    with pytest.raises(ValidationError, match="need GPUs"):
        ModelSettings(engine="vllm", device="cpu", prefill={"a": 1})


@pytest.mark.parametrize(
    ("engine", "gpus", "has_vllm", "has_config", "runs"),
    [
        ("vllm", 0, False, False, True),
        ("auto", 1, True, True, True),
        ("auto", 1, True, False, False),
        ("auto", 1, False, True, False),
        ("auto", 0, True, True, False),
        ("transformers", 1, True, True, False),
    ],
)
def test_auto_is_vllm_if_there_are_a_gpu_vllm_and_a_model_that_it_reads(  # noqa: PLR0917 - one parameter for each column
    engine, gpus, has_vllm, has_config, runs, monkeypatch, tmp_path
):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: has_vllm or None)
    if has_config:
        (tmp_path / "config.json").touch()
    assert _uses_vllm(ModelSettings(engine=engine, name=str(tmp_path)), tmp_path, gpus) == runs


@pytest.mark.parametrize(
    ("name", "runs"), [("owner/name", True), ("/m.gguf", False), ("echo", False), ("smollm2-135m-instruct", False)]
)
def test_without_the_model_files_the_name_decides(name, runs, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: True)
    assert _uses_vllm(ModelSettings(name=name), None, 1) == runs


@pytest.mark.parametrize(
    ("body", "prompt"), [({"messages": [1]}, [1]), ({"prompt": "p"}, "p"), ({"input": "i"}, "i"), ({}, "")]
)
def test_the_prefix_aware_router_finds_the_prompt(body, prompt):
    """The router reads the attribute `messages` or `prompt` of an argument, and fails if both are missing."""
    request = RoutedRequest(request_id="r", operation="chat", body=body)
    assert (request.prompt, hasattr(request, "messages"), isinstance(request, ModelRequest)) == (prompt, False, True)
