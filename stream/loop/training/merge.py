"""Write the merged weights of an adapter as an F16 GGUF file, which the CPU's engine reads.

All metadata and the tokenizer are copied from the base's file; only the adapted matrices change. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

from stream.gguf_files import Floats, GGUFReader, Matrix, copy_gguf, half
from stream.loop.training.errors import TrainingError
from stream.loop.training.gguf_metadata import number

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


def write_merged(base: GGUFReader, adapter: Path, target: Path) -> None:
    """Write `base`, a Llama model, plus the adapter in the folder `adapter` to `target`, as F16.

    Raises TrainingError if the adapter changes a matrix that `base` does not contain.
    """
    deltas = _deltas(base, adapter)

    def merged(name: str, values: Floats, kind: gguf.GGMLQuantizationType) -> Matrix:
        if (delta := deltas.pop(name, None)) is not None:
            values = values + delta
        return name, values, half(kind)

    copy_gguf(base, target, gguf.LlamaFileType.MOSTLY_F16, merged)
    if deltas:
        raise TrainingError(f"{base.file} has no tensor {next(iter(deltas))}, which the adapter changes")


def _deltas(reader: GGUFReader, adapter: Path) -> dict[str, Floats]:
    """Return {tensor of the GGUF file: change of its weights}."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    weights = load_file(adapter / "adapter_model.safetensors")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, number(reader, "block_count"))
    made: dict[str, Floats] = {}
    for module in (name.removesuffix(_A) for name in weights if name.endswith(_A)):
        delta = scale * (weights[module + _B].astype(np.float32) @ weights[module + _A].astype(np.float32))
        name = names.get_name(module.removeprefix(_PREFIX) + ".weight", try_suffixes=(".weight",))
        if name is None:
            raise TrainingError(f"GGUF has no name for {module}, which the adapter changes")
        made[name] = _permuted(reader, module, delta)
    return made


def _permuted(reader: GGUFReader, module: str, delta: Floats) -> Floats:
    """Order the rows as llama.cpp does: the two numbers that a rotation turns are neighbours."""
    if module.endswith("q_proj"):
        heads = number(reader, "attention.head_count")
    elif module.endswith("k_proj"):
        heads = number(reader, "attention.head_count_kv")
    else:
        return delta
    turned = delta.reshape(heads, 2, delta.shape[0] // heads // 2, delta.shape[1]).swapaxes(1, 2)
    return np.ascontiguousarray(turned.reshape(delta.shape))
