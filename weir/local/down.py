"""Stop a stack: exactly what its supervisor started, in order, and whatever that left."""

import contextlib
import shutil
import time
from pathlib import Path

import psutil

from serving.ray_local import short_run_dir
from weir.errors import StackError
from weir.local.plan import Plan, load_plan
from weir.local.processes import end_processes, is_running, sweep
from weir.local.stack_state import SupervisorRecord, components, forget, read_supervisor
from weir.local.step_reporter import Reporter
from weir.local.supervisord.config_file import WATCHER
from weir.local.supervisord.held_components import set_held
from weir.local.supervisord.rpc_client import Supervisord, connect

__all__ = ["clear_leftovers", "take_down"]

_SHUTDOWN_SECONDS = 45.0
#: Who writes before who ships and reads, the broker last; within a group all at once.
_GROUPS = (
    ("sentinel", "intake"),
    ("serve",),
    ("ray",),
    ("shipper", "score", "watch", "ledger", "bridge", "mlflow"),
    ("broker",),
)


def take_down(home: Path, reporter: Reporter) -> bool:
    """Stop the stack of `home` and return whether anything ran.

    Components end by SIGTERM, later SIGKILL; then every process that still carries this home's mark is ended, and the run
    directory removed. Nothing of another home is touched.
    """
    try:
        supervisord, plan = connect(home), load_plan(home)
    except StackError:
        return clear_leftovers(home) > 0
    try:
        _stop_in_order(plan, supervisord, reporter)
    except StackError as error:
        reporter.say(f"{error}; ending its processes one by one")
    _wait_gone(read_supervisor(home))
    clear_leftovers(home)
    return True


def _stop_in_order(plan: Plan, supervisord: Supervisord, reporter: Reporter) -> None:
    supervisord.stop(WATCHER)
    supervisord.wait_stopped([WATCHER], 10)
    known = {name for group in _GROUPS for name in group}
    others = tuple(one.name for one in plan.components if one.name not in known)
    for group in (others, *_GROUPS):
        _stop_group(plan, supervisord, reporter, group)
    supervisord.shutdown()


def _stop_group(plan: Plan, supervisord: Supervisord, reporter: Reporter, group: tuple[str, ...]) -> None:
    running = supervisord.processes()
    chosen = [one for one in plan.components if one.name in group and running[one.name].statename != "STOPPED"]
    if not chosen:
        return
    names = [one.name for one in chosen]
    began = time.monotonic()
    for name in names:
        supervisord.stop(name)
    supervisord.wait_stopped(names, max(one.stop_seconds for one in chosen) + 10)
    reporter.say(f"stopped {', '.join(names)} ({time.monotonic() - began:.1f} s)")


def _wait_gone(record: SupervisorRecord | None) -> None:
    deadline = time.monotonic() + _SHUTDOWN_SECONDS
    while record and is_running(record.pid, record.identity) and time.monotonic() < deadline:
        time.sleep(0.05)


def clear_leftovers(home: Path) -> int:
    """End what an earlier stack of `home` left, remove its run directory and records; return how many processes ended.

    A recorded pid counts only with the start time recorded beside it; the rest are known by the mark in their environment.
    """
    ended = _end_recorded(home) + sweep(home)
    run_dir = short_run_dir(home)
    shutil.rmtree(run_dir, ignore_errors=True)
    forget(home)
    if (home / "state").is_dir():
        set_held(home, set())
    return ended


def _end_recorded(home: Path) -> int:
    record = read_supervisor(home)
    recorded = [(one.pid, one.identity) for one in components(home)]
    if record is not None:
        recorded.insert(0, (record.pid, record.identity))
    alive = []
    for pid, known in recorded:
        if is_running(pid, known):
            with contextlib.suppress(psutil.NoSuchProcess):
                alive.append(psutil.Process(pid))
    return len(end_processes(alive, 10.0))
