"""Low-rank adapters of the encoder and of the second stage (LoRA, arXiv 2106.09685): insertion before training and extraction after it.

Successive runs add their changes to one adapter, which keeps the largest singular values of each matrix.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from detectors.train.averaged_training import AveragedTraining

SCALE = 2.0


class LowRank(nn.Module):
    """A frozen linear map plus a trained low-rank map; the bias of the frozen map is trained too."""

    def __init__(self, base: nn.Linear, generator: torch.Generator, rank: int) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(rank, base.in_features, generator=generator) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply both maps to ``inputs`` and return the sum of the results."""
        mapped: Tensor = self.base(inputs) + (inputs @ self.a.T) @ (self.b.T * SCALE)
        return mapped


def adapt(layers: nn.ModuleList, rank: int, seed: int) -> None:
    """Replace every linear map of the layers by a `LowRank`."""
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        for name in ("qkv", "out", "inner", "outer"):
            setattr(layer, name, LowRank(getattr(layer, name), generator, rank))


def joined(pairs: Sequence[tuple[Tensor, Tensor]], kept: int) -> tuple[Tensor, Tensor]:
    """Return a, (rank, inputs), and b, (outputs, rank), whose product b @ a is nearest to the sum of those of ``pairs``; rank is at most ``kept``."""
    right, below = torch.linalg.qr(torch.cat([a for a, _ in pairs]).T)
    left, above = torch.linalg.qr(torch.cat([b for _, b in pairs], dim=1))
    first, values, second = torch.linalg.svd(above @ below.T)
    root = values[:kept].sqrt()
    return root[:, None] * (second[:kept] @ right.T), left @ first[:, :kept] * root


def delta(training: AveragedTraining, warm: Mapping[str, Tensor], kept: int) -> dict[str, Tensor]:
    """Return the averaged weights and the earlier adapter ``warm`` together, in float16, for `multitask.merge`."""
    averaged = training.averaged
    result: dict[str, Tensor] = {}
    for name, value in averaged.items():
        short = name.removeprefix("backbone.").replace(".base", "")
        stem, _, kind = short.rpartition(".")
        if not name.startswith("backbone."):
            result[name] = value
        elif kind == "a":
            pairs = [(value, averaged[f"{name[:-1]}b"] * SCALE)]
            if short in warm:
                pairs.append((warm[short].float(), warm[f"{stem}.b"].float()))
            result[short], result[f"{stem}.b"] = joined(pairs, kept)
        elif kind != "b":
            result[f"{short}.shift"] = value - training.start[name] + warm.get(f"{short}.shift", torch.zeros(1)).float()
    return {name: value.half().contiguous() for name, value in result.items()}
