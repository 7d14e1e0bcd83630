"""Find and end the processes of a stack.

Ray's daemons leave the process group and session in which they were started, so a stack's processes are found by an environment variable
that every descendant inherits. Pids are reused, so a recorded pid is valid only together with its recorded start time.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

#: Environment variables of every process that supervisord starts: the stack's home, and the component.
HOME_MARK, COMPONENT_MARK = "_WEIR_STACK_HOME", "_WEIR_STACK_COMPONENT"
_KILL_SECONDS = 5
#: Seconds to look for processes that start during the call.
_END_SECONDS = 30.0


def owned_processes(home: Path, component: str | None = None) -> list[psutil.Process]:
    """Return the processes of the stack in `home`, or only those of `component`, without this process and its ancestors."""
    excluded = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in excluded:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            if environment.get(HOME_MARK) == str(home) and component in {None, environment.get(COMPONENT_MARK)}:
                found.append(process)
    return found


def end_processes(processes: Iterable[psutil.Process], grace_seconds: float) -> list[int]:
    """Send SIGTERM, then SIGKILL to processes that still run after `grace_seconds`; return all pids."""
    alive = list(processes)
    pids = [process.pid for process in alive]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=_KILL_SECONDS)
    return pids


def end_owned_processes(home: Path, component: str | None = None, *, grace_seconds: float = 5.0) -> int:
    """End all processes of a stack, or only those of `component`; return the number of ended processes.

    Processes that start during this call are ended too.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + _END_SECONDS
    while (running := owned_processes(home, component)) and time.monotonic() < deadline:
        ended |= set(end_processes(running, grace_seconds))
    return len(ended)
