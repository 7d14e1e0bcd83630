"""What an engine may use of the machine."""

import os

import msgspec
import torch

from serving.engine.errors import EngineUnavailableError

__all__ = ["Resources", "choose_device", "choose_dtype"]


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how much an engine computes.

    Parameters
    ----------
    device, dtype
        Where, and in which type; float32 gives the same tokens whatever shares the batch, bfloat16 does not.
    slots
        Most requests that are generated at once; others wait.
    max_length
        Longest prompt and answer together, in tokens; the model's own limit if `None`.
    threads
        Processor threads of a step; as many as this process may use if `None`.
    pack
        Whether to lay weights out for the processor where that is possible; off only to measure what it brings.
    """

    device: torch.device
    dtype: torch.dtype
    slots: int = 8
    max_length: int | None = None
    threads: int | None = None
    pack: bool = True

    @property
    def thread_count(self) -> int:
        """Processor threads of a step."""
        return self.threads or len(os.sched_getaffinity(0))

    def limit(self, longest: int) -> int:
        """Longest row, in tokens, of a model that itself allows `longest`."""
        return min(self.max_length or longest, longest)


def choose_device(device: str) -> torch.device:
    """Resolve `cpu`, `cuda` or `auto`.

    Raises
    ------
    EngineUnavailableError
        A GPU was asked for and is not here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineUnavailableError("device 'cuda' is not here (torch sees no GPU): choose 'cpu' or 'auto'")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Resolve `float32`, `bfloat16` or `auto`: float32 on a CPU, bfloat16 on a GPU."""
    if dtype == "auto":
        dtype = "float32" if device.type == "cpu" else "bfloat16"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
