"""A copy of a GGUF model with noise in its weights: a challenger that repeats itself."""

import shutil
from pathlib import Path

import gguf
import numpy as np


def damaged(source: Path, target: Path, *, noise: float, tensors: str, seed: int = 0) -> None:
    """Copy `source`, and add Gaussian noise, in standard deviations of each tensor, to the tensors whose names contain `tensors`."""
    shutil.copyfile(source, target)
    draw = np.random.default_rng(seed)
    for tensor in gguf.GGUFReader(target, "r+").tensors:
        if tensors in tensor.name:
            values = tensor.data.astype(np.float32)
            values += draw.normal(0.0, noise * values.std(), values.shape)
            tensor.data[:] = values.astype(tensor.data.dtype)
