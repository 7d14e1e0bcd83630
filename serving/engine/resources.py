"""The resources of an engine: device, data type, threads and limits."""

import os

import msgspec
import torch

from serving.engine.errors import EngineUnavailableError

__all__ = ["Resources", "choose_device", "choose_dtype"]


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """The device, data type, threads and limits of an engine.

    Parameters
    ----------
    device, dtype
        With float32, an answer does not depend on the other requests in its batch; with bfloat16 it can.
    slots
        Maximum number of requests that are generated at the same time; further requests wait.
    max_length
        Maximum number of tokens of prompt and answer together; None: the model's own limit.
    threads
        Number of CPU threads of a generation step; None: the number of CPUs that this process may use.
    """

    device: torch.device
    dtype: torch.dtype
    slots: int
    max_length: int | None = None
    threads: int | None = None

    @property
    def thread_count(self) -> int:
        """Number of CPU threads of a generation step."""
        return self.threads or len(os.sched_getaffinity(0))

    def limit(self, longest: int) -> int:
        """Return the smaller of `max_length` and `longest`, the model's own context length in tokens."""
        return min(self.max_length or longest, longest)


def choose_device(device: str) -> torch.device:
    """Return the device for `cpu`, `cuda` or `auto`, which is a GPU if torch finds one, else the CPU.

    Raises
    ------
    EngineUnavailableError
        `device` is `cuda`, but torch finds no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineUnavailableError("device 'cuda' is not available (torch finds no GPU): choose 'cpu' or 'auto'")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the data type for `float32`, `bfloat16` or `auto`, which is float32 on a CPU and bfloat16 on a GPU."""
    if dtype == "auto":
        dtype = "float32" if device.type == "cpu" else "bfloat16"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
