"""Free space on the disk of a home, for `weir up`, `weir doctor` and `weir status`."""

import shutil
from pathlib import Path

MIB, GIB = 1024**2, 1024**3
#: Space that a new stack needs for Kafka, model files, traces and datasets.
NEEDED_BYTES = 4 * GIB
#: Below this value, components exit when they write.
FULL_BYTES = 64 * MIB


def free_bytes(home: Path) -> int:
    """Return the free space on the disk of `home`, which may not exist yet."""
    return shutil.disk_usage(next(path for path in (home, *home.parents) if path.exists())).free
