"""The forward pass of Llama-family models, over one flat batch of decoding rows and of prompts.

transformers' own pads, does not pack weights, and a pass has either a prompt or a decode step. The arithmetic follows transformers' Llama
operation by operation, so that in float32 the tokens are the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import safe_open
from torch.nn import functional

from serving.engine.errors import ModelInvalidError
from serving.engine.kv_cache import KVCache, Room
from serving.engine.linear import Linear, make_linear
from serving.engine.llama_config import LlamaConfig, rotary_frequencies

__all__ = ["LlamaModel", "Segment"]


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of one row's prompt: `tokens` go to `slot` from position `start` on."""

    slot: int
    start: int
    tokens: Sequence[int]
    last: bool


class _Layer(msgspec.Struct, frozen=True):
    norm_in: torch.Tensor
    qkv: Linear
    out: Linear
    norm_mid: torch.Tensor
    gate_up: Linear
    down: Linear


class _Step(msgspec.Struct, frozen=True):
    """What every layer of one pass shares."""

    positions: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    rows: torch.Tensor
    mask: torch.Tensor
    width: int
    segments: list[tuple[Segment, int, torch.Tensor | None]]


class LlamaModel:
    """A Llama-family model with its cache.

    Parameters
    ----------
    directory
        A model directory in Hugging Face's form.
    room
        Slots `[0, n)` of it decode, others take in prompts.
    """

    def __init__(self, directory: Path, config: LlamaConfig, room: Room) -> None:
        self.config = config
        self.device = room.device
        self.dtype = room.dtype
        weights = _Weights(directory, room)
        self._embedding = weights.take("model.embed_tokens.weight")
        self._layers = [self._layer(weights, index) for index in range(config.num_hidden_layers)]
        self._norm = weights.take("model.norm.weight")
        head = self._embedding if config.tied else weights.take("lm_head.weight")
        self._head = make_linear(head, None, rows=room.slots, pack=room.pack)
        angles = torch.outer(torch.arange(room.limit).float(), rotary_frequencies(config))
        angles = torch.cat((angles, angles), dim=-1).to(self.device)
        self._cos, self._sin = angles.cos().to(room.dtype), angles.sin().to(room.dtype)
        self.cache = KVCache(config, room)

    def _layer(self, weights: "_Weights", index: int) -> _Layer:
        prefix = f"model.layers.{index}"
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        return _Layer(
            norm_in=weights.take(f"{prefix}.input_layernorm.weight"),
            qkv=weights.linear([f"{attention}.{name}_proj" for name in "qkv"]),
            out=weights.linear([f"{attention}.o_proj"]),
            norm_mid=weights.take(f"{prefix}.post_attention_layernorm.weight"),
            gate_up=weights.linear([f"{mlp}.gate_proj", f"{mlp}.up_proj"]),
            down=weights.linear([f"{mlp}.down_proj"]),
        )

    @torch.inference_mode()
    def forward(self, tokens: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]) -> torch.Tensor:
        """Run one step and return logits `[len(tokens) + segments that are last, vocabulary]`.

        Parameters
        ----------
        tokens, positions
            Next token of each decoding row and where it goes; row `i` is slot `i`.
        segments
            Pieces of prompts. The cache must have room for all of it.
        """
        n, c = len(tokens), self.config
        flat = [*tokens, *(token for segment in segments for token in segment.tokens)]
        step = self._prepare(n, positions, segments)
        x = self._embedding[torch.tensor(flat, device=self.device)]
        for index, layer in enumerate(self._layers):
            x = x + layer.out(self._attention(layer.qkv(self._rms(x, layer.norm_in)), n, index, step))
            gate, up = layer.gate_up(self._rms(x, layer.norm_mid)).chunk(2, dim=-1)
            x = x + layer.down(functional.silu(gate) * up)
        wanted = [*range(n), *(at + len(s.tokens) - 1 for s, at, _ in step.segments if s.last)]
        if not wanted:
            return x.new_empty((0, c.vocab_size))
        return self._head(self._rms(x[torch.tensor(wanted, device=self.device)], self._norm))

    def _prepare(self, n: int, decoding: Sequence[int], segments: Sequence[Segment]) -> _Step:
        placed, at = [], n
        for segment in segments:
            placed.append((segment, at, self._prefill_mask(segment)))
            at += len(segment.tokens)
        flat = [*decoding, *(s.start + i for s in segments for i in range(len(s.tokens)))]
        positions = torch.tensor(flat, device=self.device)
        width = max(decoding, default=-1) + 1
        mask = torch.zeros((n, 1, 1, width), dtype=self.dtype, device=self.device)
        mask.masked_fill_(torch.arange(width, device=self.device) > positions[:n, None, None, None], float("-inf"))
        cos, sin = self._cos[positions].unsqueeze(1), self._sin[positions].unsqueeze(1)
        rows = torch.arange(n, device=self.device)
        return _Step(positions[:n], cos, sin, rows, mask, width, placed)

    def _prefill_mask(self, segment: Segment) -> torch.Tensor | None:
        """Causal mask `[tokens, start + tokens]` of a piece that is not the first; that one needs none."""
        if segment.start == 0:
            return None
        size = len(segment.tokens)
        mask = torch.ones((size, segment.start + size), dtype=torch.bool, device=self.device)
        return mask.tril(diagonal=segment.start)

    def _rms(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps)
        return weight * wide.to(x.dtype)

    def _attention(self, qkv: torch.Tensor, n: int, index: int, step: _Step) -> torch.Tensor:
        c = self.config
        heads, kv, dim = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        qkv = qkv.view(-1, heads + 2 * kv, dim)
        both = qkv[:, : heads + kv]
        half = dim // 2
        turned = torch.cat((-both[..., half:], both[..., :half]), dim=-1)
        both = both * step.cos + turned * step.sin
        q, k, v = both[:, :heads], both[:, heads:], qkv[:, heads + kv :]
        keys, values = self.cache.keys[index], self.cache.values[index]
        parts = []
        if n:
            keys[step.rows, :, step.positions] = k[:n]
            values[step.rows, :, step.positions] = v[:n]
            # The heads that share keys are given as queries of one head: nothing is repeated.
            out = functional.scaled_dot_product_attention(
                q[:n].reshape(n, kv, heads // kv, dim),
                keys[:n, :, : step.width],
                values[:n, :, : step.width],
                attn_mask=step.mask,
            )
            parts.append(out.reshape(n, heads * dim))
        for segment, at, mask in step.segments:
            size = len(segment.tokens)
            end = segment.start + size
            keys[segment.slot, :, segment.start : end] = k[at : at + size].transpose(0, 1)
            values[segment.slot, :, segment.start : end] = v[at : at + size].transpose(0, 1)
            out = functional.scaled_dot_product_attention(
                q[at : at + size].transpose(0, 1).unsqueeze(0),
                keys[segment.slot : segment.slot + 1, :, :end],
                values[segment.slot : segment.slot + 1, :, :end],
                attn_mask=mask,
                is_causal=mask is None,
                enable_gqa=True,
            )
            parts.append(out[0].transpose(0, 1).reshape(size, heads * dim))
        return torch.cat(parts) if len(parts) > 1 else parts[0]


class _Weights:
    """Tensors of a model directory, read one by one so that none is held twice."""

    def __init__(self, directory: Path, room: Room) -> None:
        self._directory, self._room = directory, room
        self._where: dict[str, Any] = {}
        for path in sorted(directory.glob("*.safetensors")):
            file: Any = safe_open(path, framework="pt")
            self._where.update(dict.fromkeys(file.keys(), file))

    def take(self, name: str) -> torch.Tensor:
        """Take a tensor to keep: a copy, for one view would keep the whole file mapped."""
        return self._view(name).clone()

    def _view(self, name: str) -> torch.Tensor:
        tensor = self.find(name)
        if tensor is None:
            raise ModelInvalidError(f"{self._directory} has no weight {name}: fetch the model again")
        return tensor

    def find(self, name: str) -> torch.Tensor | None:
        file = self._where.get(name)
        if file is None:
            return None
        tensor: torch.Tensor = file.get_tensor(name)
        return tensor.to(dtype=self._room.dtype, device=self._room.device)

    def linear(self, names: Sequence[str]) -> Linear:
        """Make one linear layer of several that read the same input."""
        weight = torch.cat([self._view(f"{name}.weight") for name in names])
        biases = [bias for name in names if (bias := self.find(f"{name}.bias")) is not None]
        bias = torch.cat(biases) if biases else None
        return make_linear(weight, bias, rows=self._room.slots, pack=self._room.pack)
