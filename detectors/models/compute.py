"""Numeric type, device and threads of the encoder and the embedding, and the numeric types that this machine supports.

A numeric type other than float32 changes scores by some thousandths or hundredths. So all workers of a deployment use the same type, and
the versions of detectors contain it.
"""

from typing import Literal

import msgspec

from detectors.errors import UnsupportedError
from stream.processor import processor_flags

Precision = Literal["float32", "bfloat16", "int8"]
Device = Literal["cpu", "cuda"]
#: For each type, flags of /proc/cpuinfo. A processor with none of these flags computes the type more slowly than float32.
_NEEDS: dict[str, tuple[str, ...]] = {"bfloat16": ("amx_bf16", "avx512_bf16"), "int8": ("avx512_vnni",)}


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """The numeric type, the device, and the number of threads; 0 threads: as many as torch uses in this process."""

    precision: Precision = "float32"
    device: Device = "cpu"
    threads: int = 0

    @property
    def suffix(self) -> str:
        """The end of a version: empty for float32, whose scores are equal up to rounding errors on all devices."""
        if self.precision == "float32":
            return ""
        return f".{self.precision}" if self.device == "cpu" else f".{self.precision}-{self.device}"

    def check(self) -> None:
        """Raise UnsupportedError if this machine does not support the numeric type."""
        if self.device == "cuda":
            if self.precision == "int8":
                raise UnsupportedError(
                    "precision is int8 and device is cuda: choose float32 or bfloat16, or the device cpu"
                )
        elif not _supports(self.precision):
            raise UnsupportedError(
                f"precision is {self.precision}, and this processor has none of {', '.join(_NEEDS[self.precision])}: run score on "
                "processors that have it, or set score.precision to float32 for all workers (the versions of the detectors then change)"
            )


def _supports(precision: str) -> bool:
    return precision not in _NEEDS or not processor_flags().isdisjoint(_NEEDS[precision])


def best_precision() -> Precision:
    """Return bfloat16 if this processor has instructions for it, else float32."""
    return "bfloat16" if _supports("bfloat16") else "float32"
