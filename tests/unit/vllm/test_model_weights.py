"""The engine vllm gets only weights that it reads as safetensors."""

import re

import pytest

from serving.engine.errors import ModelInvalidError
from serving.engine.model_files import directory_digest, version_of
from serving.vllm.model_weights import weight_versions


def folder(path, *names):
    path.mkdir()
    for name in names:
        (path / name).write_text("{}")
    return path


@pytest.fixture
def model(tmp_path):
    return folder(tmp_path / "model", "config.json", "model.safetensors")


def rejected(directory, adapters, reason):
    with pytest.raises(ModelInvalidError, match=re.escape(reason)):
        weight_versions(directory, adapters)


def test_the_versions_are_those_of_the_weights(model, tmp_path):
    adapter = folder(tmp_path / "adapter", "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
    versions = weight_versions(model, {"tuned": str(adapter)})
    assert versions == (version_of(directory_digest(model)), {"tuned": version_of(directory_digest(adapter))})


@pytest.mark.parametrize("others", [(), ("model.gguf",), ("openvino_model.bin",), ("model.pt",)])
def test_a_model_that_vllm_would_read_as_a_pickle_is_an_error(tmp_path, others):
    pickled = folder(tmp_path / "pickled", "config.json", "pytorch_model.bin", *others)
    rejected(pickled, {}, f"{pickled} has no *.safetensors, so the engine vllm would read pickled weights")


@pytest.mark.parametrize("others", [(), ("optimizer.safetensors",), ("adapter_model.pt", "adapter.gguf")])
def test_an_adapter_that_vllm_would_read_as_a_pickle_is_an_error(model, tmp_path, others):
    pickled = folder(tmp_path / "pickled", "adapter_config.json", "adapter_model.bin", *others)
    rejected(
        model, {"tuned": str(pickled)}, f"{pickled} has no adapter_model.safetensors, so the engine vllm would read"
    )


def test_a_model_without_a_configuration_is_an_error(tmp_path):
    rejected(folder(tmp_path / "bare", "model.safetensors"), {}, "has no config.json: the engine vllm needs")
