"""A tiny base model whose layers can be removed, and a parent from which smaller versions are made."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from stream.loop.smaller.plan import Parent
from stream.loop.training.job import TrainingJob
from tests.support.tiny_gguf import convert_to_gguf
from tests.support.tiny_llama import save_tiny_llama

#: Rows of all matrices are multiples of 32, the size of a block of quantised weights.
SHAPE = {
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_hidden_layers": 4,
    "initializer_range": 0.1,
    "max_position_embeddings": 2048,
}


def save_base(directory: Path, *, idle_layer: int | None = None) -> Path:
    """Write a model of four layers as a GGUF file; the layer `idle_layer` has no effect."""
    folder = save_tiny_llama(directory / "hf", **SHAPE)
    if idle_layer is not None:
        model = AutoModelForCausalLM.from_pretrained(folder)
        with torch.no_grad():
            layer = model.model.layers[idle_layer]
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.save_pretrained(folder)
    return convert_to_gguf(folder, directory / "tiny.gguf")


def parent_of_file(file: Path) -> Parent:
    return Parent(tenant="acme", model="tiny", version="base", weights=file, base=file, base_digest="b" * 64)


def prune_job(parent: Parent, **changes) -> TrainingJob:
    given = {
        "rank": 8,
        "batch_examples": 4,
        "max_tokens": 64,
        "max_steps": 20,
        "max_seconds": 120.0,
        "learning_rate": 5e-3,
        "memory_bytes": 1 << 40,  # a process of many tests may already be large
    }
    return parent.job("prune", **given | changes)


def nothing(_what: str, _done: int, _total: int) -> None:
    """Report no progress."""
