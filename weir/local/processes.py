"""Which processes belong to a stack, and how they end.

Why this exists: pids are reused, and Ray's daemons leave the group and the session that they were started in. So a process
is known by a variable in its environment that every descendant inherits, and a recorded pid counts only with the start
time that was recorded beside it.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

__all__ = ["COMPONENT_MARK", "HOME_MARK", "end_processes", "identity", "is_running", "owned_processes"]

#: The home of the stack, and the component; set for every process that a supervisor starts.
HOME_MARK, COMPONENT_MARK = "_WEIR_STACK_HOME", "_WEIR_STACK_COMPONENT"
_START_TIME_FIELD = 19


def identity(pid: int) -> str | None:
    """Return what tells this process from a later one with the same pid (boot and start time), or None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else f"{boot}:{fields[_START_TIME_FIELD]}"


def is_running(pid: int, recorded: str) -> bool:
    """Tell whether `pid` is still the process whose identity was `recorded`."""
    return bool(recorded) and identity(pid) == recorded


def owned_processes(home: Path, component: str | None = None) -> list[psutil.Process]:
    """Return the running processes of the stack in `home`, or of one component; never this process or its ancestors."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            mine = environment.get(HOME_MARK) == str(home)
            if mine and component in {None, environment.get(COMPONENT_MARK)}:
                found.append(process)
    return found


def end_processes(processes: Iterable[psutil.Process], grace_seconds: float) -> list[int]:
    """Send SIGTERM, after `grace_seconds` SIGKILL, and return the pids that were ended."""
    alive = list(processes)
    pids = [process.pid for process in alive]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return pids


def sweep(
    home: Path, component: str | None = None, *, grace_seconds: float = 5.0, deadline_seconds: float = 30.0
) -> int:
    """End what is left of a stack, or of one component, until nothing is; return how many processes were ended."""
    ended: set[int] = set()
    deadline = time.monotonic() + deadline_seconds
    while (left := owned_processes(home, component)) and time.monotonic() < deadline:
        ended |= set(end_processes(left, grace_seconds))
    return len(ended)
