"""Interpolation between the weights of successive training runs (Wortsman et al., arXiv 2109.01903).

A run that starts from earlier weights learns new texts and loses some of the old ones. The weights between both keep
most of each. Each run adds columns to the low-rank matrices, so the interpolation only scales these columns.
"""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["interpolate"]


def interpolate(runs: Sequence[Path], shares: Sequence[float], out: Path) -> None:
    """Write the first run's weights plus a share in [0, 1] of the change that each later run made.

    Each run started from the weights of the run before it. Raises ValueError if there is not one share per later run.
    """
    if len(shares) != len(runs) - 1:
        raise ValueError(f"{len(shares)} shares for {len(runs)} runs: give one share for each run after the first")
    states = [load_file(run) for run in runs]
    save_file(
        {name: _interpolated(name, [s[name] for s in states], shares).half().contiguous() for name in states[-1]}, out
    )


def _interpolated(name: str, values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    if name.endswith(".a"):
        return values[-1]
    result = values[-1].float().clone() if name.endswith(".b") else values[0].float()
    for before, after, share in zip(values, values[1:], shares, strict=False):
        if name.endswith(".b"):
            result[:, before.shape[1] : after.shape[1]] *= share
        else:
            result = result + share * (after.float() - before.float())
    return result
