"""The tiny Llama of `tiny_llama` as an F16 GGUF file."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from tests.support.tiny_llama import save_tiny_llama

# OpenVINO requires at least one merge, transformers two. No UTF-8 text contains these bytes.
_MERGES = ["ÿ ÿ", "þ þ"]


def save_tiny_gguf(directory: Path, **changes: Any) -> Path:
    """Write the model of `save_tiny_llama` as a GGUF file in F16; return the file."""
    return convert_to_gguf(save_tiny_llama(directory / "hf", **changes), directory / "tiny.gguf")


def convert_to_gguf(folder: Path, file: Path) -> Path:
    """Write the model of `folder`, in Hugging Face's format, to `file` in F16; return the file."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(file, "llama")
    _add_shape(writer, config)
    _add_tokenizer(writer, folder, config["vocab_size"])
    if config["eos_token_id"] is not None:
        writer.add_eos_token_id(config["eos_token_id"])
    _add_weights(writer, folder, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_shape(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _add_tokenizer(writer: gguf.GGUFWriter, directory: Path, size: int) -> None:
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    special = [token["content"] for token in tokenizer["added_tokens"]]
    names = [*tokenizer["model"]["vocab"], *special, *(merge.replace(" ", "") for merge in _MERGES)]
    names += [f"<unused{number}>" for number in range(size - len(names))]
    control = {*special, *(name for name in names if name.startswith("<unused"))}
    writer.add_bos_token_id(names.index(special[0]))  # transformers requires a BOS token
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(names)
    writer.add_token_types([gguf.TokenType.CONTROL if name in control else gguf.TokenType.NORMAL for name in names])
    writer.add_token_merges(_MERGES)
    writer.add_chat_template(json.loads((directory / "tokenizer_config.json").read_text())["chat_template"])


def _add_weights(writer: gguf.GGUFWriter, directory: Path, config: dict[str, Any]) -> None:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, values in load_file(directory / "model.safetensors").items():
        count = next((count for part, count in heads.items() if part in name), None)
        weight = values if count is None else _pairs_together(values, count)
        # Vectors (the norms) stay in float32.
        writer.add_tensor(
            names.get_name(name, try_suffixes=(".weight",)),
            weight if weight.ndim == 1 else weight.astype(np.float16),
        )


def _pairs_together(weight: np.ndarray, heads: int) -> np.ndarray:
    """Order the rows as GGUF does: the two numbers that a rotary embedding rotates together are adjacent."""
    half = weight.shape[0] // heads // 2
    turned = weight.reshape(heads, 2, half, *weight.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(turned.reshape(weight.shape))
