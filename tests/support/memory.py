"""How much memory a process has held, from the kernel."""

from pathlib import Path

MIB = 1024**2


def peak_bytes(pid: int) -> int:
    """Return the largest resident set of `pid` since its start, or since :func:`forget_peak`."""
    return _field(pid, "VmHWM")


def resident_bytes(pid: int) -> int:
    """Return the resident set of `pid` now."""
    return _field(pid, "VmRSS")


def forget_peak(pid: int) -> None:
    """Let the peak begin again with what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/{pid}/status has no {name}")
