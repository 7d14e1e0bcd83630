"""The shape of the models that Weir's own forward pass supports."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import torch

from serving.engine.errors import ModelInvalidError

__all__ = ["LlamaConfig", "end_tokens", "read_config", "rotary_frequencies", "unsupported"]

_ROPE_TYPES = ("default", "llama3", "linear")


class LlamaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Shape of a Llama-family model."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    tied: bool
    rope: dict[str, Any]

    @classmethod
    def of(cls, config: dict[str, Any]) -> "LlamaConfig":
        """Read the shape from a model's `config.json`, of transformers 4 or 5."""
        heads = config["num_attention_heads"]
        rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
        rope.setdefault("rope_theta", config.get("rope_theta", 10000.0))
        rope.setdefault("rope_type", rope.get("type", "default"))
        return cls(
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            num_hidden_layers=config["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
            vocab_size=config["vocab_size"],
            max_position_embeddings=config["max_position_embeddings"],
            rms_norm_eps=config["rms_norm_eps"],
            tied=bool(config.get("tie_word_embeddings", False)),
            rope=rope,
        )


def read_config(directory: Path) -> dict[str, Any]:
    """Read a model directory's `config.json`."""
    path = directory / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelInvalidError(
            f"{directory} has no config.json: set a model directory in Hugging Face's format"
        ) from error
    except json.JSONDecodeError as error:
        raise ModelInvalidError(f"{path} is not JSON ({error.msg} at {error.pos}): fetch the model again") from error
    return config


def unsupported(config: dict[str, Any]) -> str | None:
    """Return why Weir's own forward pass cannot run a model, or None."""
    if config.get("model_type") != "llama":
        return f"model type {config.get('model_type')!r} is not 'llama'"
    if config.get("hidden_act", "silu") != "silu":
        return f"activation {config['hidden_act']!r} is not 'silu'"
    if config.get("quantization_config"):
        return "the weights are quantised"
    rope = LlamaConfig.of(config).rope["rope_type"]
    return None if rope in _ROPE_TYPES else f"rotary embedding {rope!r} is none of {', '.join(_ROPE_TYPES)}"


def end_tokens(directory: Path, config: dict[str, Any]) -> frozenset[int]:
    """Tokens that end an answer, by configuration and generation configuration.

    The tokenizer's own end token is not among them: SmolLM2's GGUF names the token that begins a turn.
    """
    path = directory / "generation_config.json"
    generation = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    ends: set[int] = set()
    for value in (config.get("eos_token_id"), generation.get("eos_token_id")):
        ends.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ends)


def rotary_frequencies(config: LlamaConfig) -> torch.Tensor:
    """Angles a position for each pair of a head's dimensions, `[head_dim / 2]`.

    `llama3` follows Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended.
    """
    rope, dim = config.rope, config.head_dim
    frequencies: torch.Tensor = 1.0 / (rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.int64).float() / dim))
    if rope["rope_type"] == "linear":
        return frequencies / float(rope["factor"])
    if rope["rope_type"] != "llama3":
        return frequencies
    original, factor, low, high = (
        float(rope[key])
        for key in ("original_max_position_embeddings", "factor", "low_freq_factor", "high_freq_factor")
    )
    wavelengths = 2 * math.pi / frequencies
    blend = ((original / wavelengths - low) / (high - low)).clamp(0.0, 1.0)
    return (1 - blend) * frequencies / factor + blend * frequencies
