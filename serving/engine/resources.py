"""The resources of an engine: device, types, threads."""

import os

import msgspec
import torch

from serving.engine.errors import EngineUnavailableError

__all__ = ["Resources", "choose_device", "choose_dtype"]


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """The device, the types and the sizes of an engine.

    Parameters
    ----------
    device, dtype
        float32 gives the same tokens whatever shares the batch, bfloat16 does not.
    slots
        Requests that are generated at the same time; others wait.
    max_length
        Limit of prompt and answer together, in tokens; the model's own limit if `None`.
    threads
        Processor threads of a step; as many as this process may use if `None`.
    """

    device: torch.device
    dtype: torch.dtype
    slots: int
    max_length: int | None = None
    threads: int | None = None

    @property
    def thread_count(self) -> int:
        """Processor threads of a step."""
        return self.threads or len(os.sched_getaffinity(0))

    def limit(self, longest: int) -> int:
        """Return the context length, in tokens, of a model whose own limit is `longest`."""
        return min(self.max_length or longest, longest)


def choose_device(device: str) -> torch.device:
    """Resolve `cpu`, `cuda` or `auto`.

    Raises
    ------
    EngineUnavailableError
        `cuda`, and there is no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineUnavailableError("device 'cuda' is not available (torch finds no GPU): choose 'cpu' or 'auto'")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Resolve `float32`, `bfloat16` or `auto`: float32 on a CPU, bfloat16 on a GPU."""
    if dtype == "auto":
        dtype = "float32" if device.type == "cpu" else "bfloat16"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
