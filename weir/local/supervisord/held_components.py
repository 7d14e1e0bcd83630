"""Stop and start single components of a running stack, for benches, faults and repairs.

A component that was stopped on purpose is held: the watcher leaves it alone until it is started again.
"""

import json
from pathlib import Path

from stream.files import replace_file
from weir.errors import StackError
from weir.local.plan import load_plan, state_dir
from weir.local.supervisord.rpc_client import connect

__all__ = ["held", "start_component", "stop_component"]


def _path(home: Path) -> Path:
    return state_dir(home) / "held.json"


def held(home: Path) -> set[str]:
    """Return the names of the components that were stopped on purpose."""
    try:
        return set(json.loads(_path(home).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return set()


def set_held(home: Path, names: set[str]) -> None:
    """Write the names of the components that are held."""
    replace_file(_path(home), json.dumps(sorted(names)))


def stop_component(home: Path, name: str) -> None:
    """Stop `name`, wait until it ended, and hold it.

    Raises
    ------
    StackError
        No stack runs in `home`, it has no such component, or that did not end in time.
    """
    component, supervisord = load_plan(home).component(name), connect(home)
    set_held(home, held(home) | {name})
    supervisord.stop(name)
    limit = component.stop_seconds + 15
    if not supervisord.wait_stopped([name], limit):
        raise StackError(f"{name} did not end within {limit:.0f} s; see {home}/logs/{name}.log")


def start_component(home: Path, name: str) -> None:
    """Start `name` and hold it no longer; returns at once, see :func:`weir.local.health.health_probe.probe`.

    Raises
    ------
    StackError
        No stack runs in `home`, or it has no such component.
    """
    load_plan(home).component(name)
    supervisord = connect(home)
    set_held(home, held(home) - {name})
    supervisord.start(name)
