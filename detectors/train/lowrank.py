"""Low-rank adapters of the encoder (LoRA, arXiv 2106.09685): insertion before training and extraction after it."""

import math

import torch
from torch import Tensor, nn

from detectors.models.multitask import MultiTask

__all__ = ["adapt", "delta"]

RANK, SCALE = 32, 2.0


class LowRank(nn.Module):
    """A frozen linear map plus a trained low-rank map; the bias of the frozen map is trained too."""

    def __init__(self, base: nn.Linear, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(RANK, base.in_features, generator=generator) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, RANK))

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


def delta(averaged: dict[str, Tensor], start: dict[str, Tensor], warm: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the trained adapter combined with the earlier adapter ``warm``, in float16, for `multitask.merge`."""
    result: dict[str, Tensor] = {}
    for name, value in averaged.items():
        short = name.removeprefix("backbone.").replace(".base", "")
        if name.startswith("heads."):
            result[name] = value
        elif name.endswith(".a"):
            result[short] = torch.cat([warm[short].float(), value]) if short in warm else value
        elif name.endswith(".b"):
            scaled = value * SCALE
            result[short] = torch.cat([warm[short].float(), scaled], dim=1) if short in warm else scaled
        else:
            result[f"{short}.shift"] = value - start[name] + warm.get(f"{short}.shift", torch.zeros(1)).float()
    return {name: value.half().contiguous() for name, value in result.items()}
