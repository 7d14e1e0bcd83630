"""Linear layers whose weights are laid out once for the processor.

On a CPU oneDNN would otherwise rearrange the weights at every call; packed, a decode step of eight rows is more than
twice as fast and gives the same numbers. The operators are private to torch, so they are tried once, and without them
`F.linear` does the same work.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

__all__ = ["Linear", "can_pack", "make_linear"]

_LOG = logging.getLogger(__name__)

Linear = Callable[[torch.Tensor], torch.Tensor]
"""Maps `[rows, in]` to `[rows, out]`."""


def make_linear(weight: torch.Tensor, bias: torch.Tensor | None, *, rows: int, pack: bool = True) -> Linear:
    """Make a linear layer of `weight` `[out, in]`; `rows` is how many rows it will mostly see."""
    if pack and weight.device.type == "cpu" and can_pack(weight.dtype):
        return _packed(weight, bias, rows)
    weight = weight.contiguous()
    return lambda x: functional.linear(x, weight, bias)


@functools.cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this torch and processor pack weights of `dtype`, and compute with them what `F.linear` does."""
    weight, x = torch.eye(16, dtype=dtype).roll(1, 0), torch.arange(32, dtype=dtype).view(2, 16)
    try:
        same = torch.equal(_packed(weight, None, 2)(x), functional.linear(x, weight))
    except (AttributeError, RuntimeError, TypeError) as error:
        _LOG.info("weights stay unpacked: %s", error)
        return False
    return same


def _packed(weight: torch.Tensor, bias: torch.Tensor | None, rows: int) -> Linear:
    operators: Any = torch.ops.mkldnn
    packed = operators._reorder_linear_weight(weight.contiguous(), rows)  # noqa: SLF001 - see the module's docstring
    linear = operators._linear_pointwise  # noqa: SLF001 - as above
    return lambda x: linear(x, packed, bias, "none", [], "")
