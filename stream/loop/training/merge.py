"""Write the merged weights of an adapter as an F16 GGUF file, which the CPU's engine reads.

All metadata and the tokenizer come from the base's file; only the adapted matrices change. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from stream.loop.training.errors import TrainingError

__all__ = ["can_merge", "write_merged"]

#: The architecture whose rows of q and k llama.cpp permutes, and the only one that is tested here.
_ARCHITECTURE = "llama"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_REPLACED = ("general.architecture", "general.file_type", "general.quantization_version")

Floats = npt.NDArray[np.float32]


def can_merge(base: Path) -> bool:
    """Return whether :func:`write_merged` supports the architecture of the GGUF file `base`."""
    return _architecture(gguf.GGUFReader(base)) == _ARCHITECTURE


def write_merged(base: Path, adapter: Path, target: Path) -> None:
    """Write `base`, a GGUF file, plus the adapter in the folder `adapter` to `target`, as F16.

    Raises TrainingError if the adapter changes a matrix that `base` does not contain.
    """
    reader = gguf.GGUFReader(base)
    deltas = _deltas(reader, adapter)
    writer = gguf.GGUFWriter(target, _architecture(reader))
    for name, field in reader.fields.items():
        if name not in _REPLACED and not name.startswith("GGUF."):
            element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], element)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if (delta := deltas.pop(tensor.name, None)) is not None:
            values = values + delta
        plain = tensor.tensor_type == gguf.GGMLQuantizationType.F32
        writer.add_tensor(tensor.name, values if plain else values.astype(np.float16))
    if deltas:
        raise TrainingError(f"{base} has no tensor {next(iter(deltas))}, which the adapter changes")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _architecture(reader: gguf.GGUFReader) -> str:
    return str(reader.fields["general.architecture"].contents())


def _deltas(reader: gguf.GGUFReader, adapter: Path) -> dict[str, Floats]:
    """Return {tensor of the GGUF file: change of its weights}."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    weights = load_file(adapter / "adapter_model.safetensors")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, _number(reader, "block_count"))
    made: dict[str, Floats] = {}
    for module in _modules(weights):
        delta = scale * (weights[module + _B].astype(np.float32) @ weights[module + _A].astype(np.float32))
        name = names.get_name(module.removeprefix(_PREFIX) + ".weight", try_suffixes=(".weight",))
        if name is None:
            raise TrainingError(f"GGUF has no name for {module}, which the adapter changes")
        made[name] = _permuted(reader, module, delta)
    return made


def _modules(weights: dict[str, Floats]) -> Iterator[str]:
    return (name.removesuffix(_A) for name in weights if name.endswith(_A))


def _permuted(reader: gguf.GGUFReader, module: str, delta: Floats) -> Floats:
    """Order the rows as llama.cpp does: the two numbers that a rotation turns are neighbours."""
    if module.endswith("q_proj"):
        heads = _number(reader, "attention.head_count")
    elif module.endswith("k_proj"):
        heads = _number(reader, "attention.head_count_kv")
    else:
        return delta
    turned = delta.reshape(heads, 2, delta.shape[0] // heads // 2, delta.shape[1]).swapaxes(1, 2)
    return np.ascontiguousarray(turned.reshape(delta.shape))


def _number(reader: gguf.GGUFReader, key: str) -> int:
    return int(reader.fields[f"{_ARCHITECTURE}.{key}"].contents())
