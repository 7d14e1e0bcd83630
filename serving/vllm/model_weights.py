"""The versions of the weights that vLLM serves, which are never pickles."""

from collections.abc import Mapping
from pathlib import Path

from serving.engine.errors import ModelInvalidError
from serving.engine.model_files import directory_digest, model_version, version_of


def weight_versions(directory: Path, adapters: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the version of the model in `directory`, and of each LoRA adapter; `adapters` maps names to directories.

    Raises ModelInvalidError if vLLM does not read the model, or would read pickled weights: it does if it finds no safetensors file,
    whatever other weights are beside them.
    """
    if not (directory / "config.json").is_file():
        raise ModelInvalidError(
            f"{directory} has no config.json: the engine vllm needs a model directory in Hugging Face's format, or a hub id"
        )
    _require(directory, "*.safetensors")
    for path in adapters.values():
        _require(Path(path), "adapter_model.safetensors")
    versions = {name: version_of(directory_digest(Path(path))) for name, path in adapters.items()}
    return model_version(directory), versions


def _require(directory: Path, name: str) -> None:
    if not any(directory.glob(name)):
        raise ModelInvalidError(
            f"{directory} has no {name}, so the engine vllm would read pickled weights, which can run code: convert the weights to "
            "safetensors where you trust them (from_pretrained and save_pretrained of transformers or peft)"
        )
