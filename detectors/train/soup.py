"""Average of the weights of several training runs (model soups, Wortsman et al., arXiv 2203.05482 and 2109.01903).

A run that starts from earlier weights becomes better on the new texts and worse on some of the old texts. Weights between the earlier
and the new weights are good on both, and the average of runs with several seeds is better than a single run.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from detectors.train.encoder_trainer import KEPT
from detectors.train.lowrank import joined


def interpolate(runs: Sequence[Path], shares: Sequence[float], out: Path) -> None:
    """Write the first run's weights plus a share in [0, 1] of the change of each other run, which started from these weights."""
    states = list(zip((load_file(run) for run in runs), (1.0 - sum(shares), *shares), strict=True))
    result: dict[str, Tensor] = {}
    for name in states[-1][0]:
        if name.startswith("exit."):
            continue  # an exit belongs to one encoder
        stem, _, kind = name.rpartition(".")
        if kind == "a":
            pairs = [(state[name].float(), state[f"{stem}.b"].float() * share) for state, share in states]
            result[name], result[f"{stem}.b"] = joined(pairs, KEPT)
        elif kind != "b":
            result[name] = sum((state[name].float() * share for state, share in states), torch.zeros(1))
    save_file({name: value.half().contiguous() for name, value in result.items()}, out)
