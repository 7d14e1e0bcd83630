"""Low-rank adapters of the encoder (LoRA, arXiv 2106.09685): insertion before training and extraction after it.

Successive runs add their changes to one adapter. It keeps the `KEPT` largest singular values of each matrix.
"""

import math

import torch
from torch import Tensor, nn

from detectors.models.multitask import MultiTask

RANK, SCALE = 32, 2.0
KEPT = 96


class LowRank(nn.Module):
    """A frozen linear map plus a trained low-rank map; the bias of the frozen map is trained too."""

    def __init__(self, base: nn.Linear, generator: torch.Generator, rank: int = RANK) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(rank, base.in_features, generator=generator) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply both maps to ``inputs`` and return the sum of the results."""
        mapped: Tensor = self.base(inputs) + (inputs @ self.a.T) @ (self.b.T * SCALE)
        return mapped


def adapt(model: MultiTask, seed: int) -> None:
    """Replace every linear map of the layers by a `LowRank`; mark the norms and biases of the layers for training."""
    generator = torch.Generator().manual_seed(seed)
    layers = model.backbone.layers
    assert isinstance(layers, nn.ModuleList)  # MiniLM, as it is loaded for training
    for layer in layers:
        for name in ("qkv", "out", "inner", "outer"):
            linear = getattr(layer, name)
            linear.bias.requires_grad = True
            setattr(layer, name, LowRank(linear, generator))
        for norm in (layer.norm_attention, layer.norm_output):
            norm.requires_grad_()


def factors(change: Tensor) -> tuple[Tensor, Tensor]:
    """Return a, (`KEPT`, inputs), and b, (outputs, `KEPT`), whose product b @ a is nearest to ``change``."""
    left, values, right = torch.linalg.svd(change, full_matrices=False)
    root = values[:KEPT].sqrt()
    return root[:, None] * right[:KEPT], left[:, :KEPT] * root


def delta(averaged: dict[str, Tensor], start: dict[str, Tensor], warm: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the trained adapter plus the earlier adapter ``warm``, in float16, for `multitask.merge`."""
    result: dict[str, Tensor] = {}
    for name, value in averaged.items():
        short = name.removeprefix("backbone.").replace(".base", "")
        stem, _, kind = short.rpartition(".")
        if name.startswith("heads."):
            result[name] = value
        elif kind == "a":
            change = averaged[name[:-1] + "b"] @ value * SCALE
            if short in warm:
                change = change + warm[f"{stem}.b"].float() @ warm[short].float()
            result[short], result[f"{stem}.b"] = factors(change)
        elif kind != "b":
            result[f"{short}.shift"] = value - start[name] + warm.get(f"{short}.shift", torch.zeros(1)).float()
    return {name: value.half().contiguous() for name, value in result.items()}
