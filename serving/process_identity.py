"""The identity of a process. Pids are reused, so a recorded pid is valid only together with the process's recorded identity."""

from pathlib import Path

_START_TIME_FIELD = 19
_GONE_STATES = {"Z", "X"}


def process_identity(pid: int) -> str | None:
    """Return boot id and start time of process `pid`, or None if it does not run.

    A later process with the same pid has another identity.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _GONE_STATES else f"{boot}:{fields[_START_TIME_FIELD]}"


def is_running(pid: int, recorded: str) -> bool:
    """Return whether process `pid` runs and still has the identity `recorded`."""
    return bool(recorded) and process_identity(pid) == recorded
