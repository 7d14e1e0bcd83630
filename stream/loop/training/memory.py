"""The bound of a training run's memory."""

import os
from pathlib import Path

from stream.loop.training.errors import TrainingError
from stream.loop.training.job import TrainingJob

__all__ = ["check_memory"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


def check_memory(job: TrainingJob, remedy: str) -> None:
    """Raise TrainingError if this process has more resident memory than ``job.memory_bytes``; `remedy` ends the message."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    if used > job.memory_bytes:
        raise TrainingError(
            f"the run uses {used >> 20} MiB, the limit is {job.memory_bytes >> 20} MiB; raise [train] memory_mib{remedy}"
        )
