"""The base model of a training run: float weights and a tokenizer, from a GGUF file or a folder in Hugging Face's format."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from stream.gguf_files import read_once
from stream.loop.training.errors import TrainingError
from stream.loop.training.gguf_metadata import gguf_of

#: The end of a turn in ChatML; some tokenizers of GGUF files declare its beginning as their end token.
_END_OF_TURN = "<|im_end|>"


def load_base(base: Path) -> tuple[Any, Any]:
    """Return (model, tokenizer); the model has float32 weights, and the tokenizer an end and a padding token.

    Raises TrainingError if transformers cannot load the files, or if the tokenizer has no chat template.
    """
    gguf = gguf_of(base)
    source: dict[str, Any] = {"gguf_file": gguf.name} if gguf is not None else {}
    folder = str(gguf.parent if gguf is not None else base)
    disable_progress_bar()  # type: ignore[no-untyped-call] # the commands show their own progress
    try:
        with read_once():
            # Without `use_safetensors`, transformers also loads a pickle.
            model = AutoModelForCausalLM.from_pretrained(folder, **source, dtype=torch.float32, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, **source)
    except (LookupError, TypeError, ValueError) as error:
        raise TrainingError(
            f"transformers cannot load the model or the tokenizer of {base} ({error}); use a complete model file or folder"
        ) from error
    if (quantizer := getattr(model, "hf_quantizer", None)) is not None:
        quantizer.remove_quantization_config(
            model
        )  # a GGUF file counts as quantised, and transformers does not train it
    if not tokenizer.chat_template:
        raise TrainingError(f"the tokenizer of {base} has no chat template; train a model that has one")
    if _END_OF_TURN in tokenizer.chat_template and _END_OF_TURN in tokenizer.get_vocab():
        tokenizer.eos_token = _END_OF_TURN
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return model, tokenizer


def linear_modules(model: Any) -> list[str]:
    """Return the names of the linear layers, without the output embedding: peft's `layers_to_transform` needs names."""
    head = model.get_output_embeddings()
    found = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return sorted(found)
