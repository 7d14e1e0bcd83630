"""Keys and values of every row that is being generated, in one block."""

import msgspec
import torch

from serving.engine.llama_config import LlamaConfig

__all__ = ["KVCache", "Room"]

_FIRST_LENGTH = 256


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How much a model is given: `slots` rows at once, each of `limit` tokens at most, where, and in which type."""

    slots: int
    limit: int
    dtype: torch.dtype
    device: torch.device
    pack: bool = True


class KVCache:
    """`[layers, slots, kv_heads, length, head_dim]`, twice; the length doubles when a row needs more."""

    def __init__(self, config: LlamaConfig, room: Room) -> None:
        self._config, self._room = config, room
        self.keys, self.values = self._allocate(min(_FIRST_LENGTH, room.limit))

    @property
    def length(self) -> int:
        """Tokens that each slot has room for now."""
        return self.keys.shape[3]

    def reserve(self, length: int, rows: int) -> None:
        """Make room for `length` tokens in each slot, keeping what the first `rows` hold."""
        if length <= self.length:
            return
        size = self.length
        while size < length:
            size *= 2
        keys, values = self._allocate(min(size, self._room.limit))
        for old, new in ((self.keys, keys), (self.values, values)):
            new[:, :rows, :, : old.shape[3]] = old[:, :rows]
        self.keys, self.values = keys, values

    def shrink(self) -> None:
        """Give memory back; only when no row is held."""
        if self.length > _FIRST_LENGTH:
            self.keys, self.values = self._allocate(min(_FIRST_LENGTH, self._room.limit))

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of slot `source` to slot `target`."""
        for block in (self.keys, self.values):
            block[:, target, :, :length] = block[:, source, :, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange the first `length` tokens of two slots."""
        for block in (self.keys, self.values):
            held = block[:, one, :, :length].clone()
            block[:, one, :, :length] = block[:, other, :, :length]
            block[:, other, :, :length] = held

    def _allocate(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        config, room = self._config, self._room
        shape = (config.num_hidden_layers, room.slots, config.num_key_value_heads, length, config.head_dim)
        keys, values = (torch.zeros(shape, dtype=room.dtype, device=room.device) for _ in range(2))
        return keys, values
