"""Stop a stack: the components in order, then supervisord, then all remaining processes of the stack."""

import contextlib
import shutil
import time
from pathlib import Path

import psutil

from serving.process_identity import is_running
from serving.ray_local.layout import short_run_dir
from weir.errors import StackError
from weir.local.plan import WATCHER, Plan, load_plan
from weir.local.processes import end_owned_processes, end_processes
from weir.local.stack_state import delete_state, load_components, load_supervisor, supervisor_runs
from weir.local.step_reporter import StepReporter
from weir.local.supervisord.rpc_client import Supervisord, connect

_SHUTDOWN_SECONDS = 45.0
_EXTRA_SECONDS = 10.0  # for an end by SIGKILL, on a busy machine
_POLL_SECONDS = 0.05
#: Stop order: producers before the shipper and the consumers, the broker last; a group stops together.
_STOP_GROUPS = (
    ("sentinel", "intake"),
    ("serve",),
    ("ray",),
    ("shipper", "score", "watch", "ledger", "bridge", "delivery", "mlflow"),
    ("broker",),
)


def take_down(home: Path, reporter: StepReporter) -> bool:
    """Stop the stack of `home`, but no process of another home; return whether any process of the stack was running."""
    try:
        supervisord, plan = connect(home), load_plan(home)
    except StackError:
        return clear_leftovers(home) > 0
    try:
        _stop_in_order(plan, supervisord, reporter)
    except StackError as error:
        reporter.say(f"{error}; ending the stack's processes one by one")
    _wait_gone(home)
    clear_leftovers(home)
    return True


def _stop_in_order(plan: Plan, supervisord: Supervisord, reporter: StepReporter) -> None:
    supervisord.stop(WATCHER)
    supervisord.wait_stopped([WATCHER], _EXTRA_SECONDS)
    grouped = {name for group in _STOP_GROUPS for name in group}
    others = tuple(component.name for component in plan.components if component.name not in grouped)
    for group in (others, *_STOP_GROUPS):
        _stop_group(plan, supervisord, reporter, group)
    supervisord.shutdown()


def _stop_group(plan: Plan, supervisord: Supervisord, reporter: StepReporter, group: tuple[str, ...]) -> None:
    running = supervisord.processes()
    stopping = [item for item in plan.components if item.name in group and running[item.name].statename != "STOPPED"]
    if not stopping:
        return
    names = [component.name for component in stopping]
    began = time.monotonic()
    for name in names:
        supervisord.stop(name)
    supervisord.wait_stopped(names, max(component.stop_seconds for component in stopping) + _EXTRA_SECONDS)
    reporter.say(f"stopped {', '.join(names)} ({time.monotonic() - began:.1f} s)")


def _wait_gone(home: Path) -> None:
    deadline = time.monotonic() + _SHUTDOWN_SECONDS
    while supervisor_runs(home) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def clear_leftovers(home: Path) -> int:
    """End the remaining processes of a stopped stack, delete its run directory and state, and return the number of processes."""
    ended = _end_recorded(home) + end_owned_processes(home)
    shutil.rmtree(short_run_dir(home), ignore_errors=True)
    delete_state(home)
    return ended


def _end_recorded(home: Path) -> int:
    record = load_supervisor(home)
    recorded = [(state.pid, state.identity) for state in load_components(home)]
    if record is not None:
        recorded.insert(0, (record.pid, record.identity))
    alive = []
    for pid, identity in recorded:
        if is_running(pid, identity):
            with contextlib.suppress(psutil.NoSuchProcess):
                alive.append(psutil.Process(pid))
    return len(end_processes(alive, _EXTRA_SECONDS))
