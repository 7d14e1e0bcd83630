"""The peak memory of a process, as the kernel reports it."""

import re
from pathlib import Path

MIB = 1024**2


def peak_bytes(pid: int) -> int:
    """Return the largest resident set of `pid` since its start, or since :func:`forget_peak`."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


def forget_peak(pid: int) -> None:
    """Reset the peak to the present resident set."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
