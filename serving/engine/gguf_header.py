"""The size that a GGUF file must have, from its header.

`gguf.GGUFReader` needs seconds for a vocabulary, and its errors at an incomplete file do not state the expected size.
"""

import math
import mmap
import struct
from pathlib import Path
from typing import Any

from serving.engine.errors import ModelInvalidError

__all__ = ["check_size"]

_DEFAULT_ALIGNMENT = 32
#: Formats of the scalar types by their number in the file.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def check_size(file: Path) -> None:
    """Raise ModelInvalidError if a GGUF file ends before its last weight; OpenVINO reads past the end, which can end the process."""
    size, again = file.stat().st_size, "copy or download the file again"
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            expected = _Header(data).end_of_weights()
    except (ArithmeticError, TypeError, ValueError, KeyError, struct.error) as error:
        raise ModelInvalidError(f"{file} ({size:,} bytes) has an incomplete or damaged header: {again}") from error
    if size < expected:
        raise ModelInvalidError(f"{file} has {size:,} bytes, but its weights end at byte {expected:,}: {again}")


class _Header:
    """A cursor over the header; reading past the end of the file raises struct.error."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def end_of_weights(self) -> int:
        _magic, _version, tensors, keys = self._read("4sIQQ")
        alignment = _DEFAULT_ALIGNMENT
        for _ in range(keys):
            name = self._string()
            value = self._value(*self._read("I"))
            alignment = value if name == b"general.alignment" else alignment
        ends = [self._weight_end() for _ in range(tensors)]
        return math.ceil(self._at / alignment) * alignment + max(ends, default=0)

    def _weight_end(self) -> int:
        """Return the end of a weight, counted from the start of the weights."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # noqa: PLC0415 - only this function needs them

        self._string()
        *shape, kind, offset = self._read(f"{self._read('I')[0]}QIQ")
        elements, length = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        return int(offset + math.prod(shape) // elements * length)

    def _value(self, kind: int) -> Any:
        """Return a number or a string; skip an array."""
        if kind != _ARRAY:
            return self._string() if kind == _STRING else self._read(_SCALARS[kind])[0]
        element, count = self._read("IQ")
        if element in _SCALARS:
            self._at += count * struct.calcsize(_SCALARS[element])
            return None
        if element != _STRING:
            raise ValueError(f"an array of type {element}")
        for _ in range(count):
            self._string()
        return None

    def _string(self) -> bytes:
        (length,) = self._read("Q")
        self._at += length
        return self._data[self._at - length : self._at]

    def _read(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values
