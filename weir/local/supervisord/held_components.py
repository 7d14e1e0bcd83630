"""Stop and start single components of a running stack, for benchmarks, fault injection and repairs.

:func:`stop_component` holds a component: the watcher does not start it; only :func:`start_component` does.
"""

import json
from pathlib import Path

from stream.files import replace_file
from weir.errors import StackError
from weir.local.plan import load_plan, state_dir
from weir.local.supervisord.rpc_client import connect

__all__ = ["load_held", "save_held", "start_component", "stop_component"]

_KILL_SECONDS = 15.0  # after SIGKILL, on a busy machine


def _path(home: Path) -> Path:
    return state_dir(home) / "held.json"


def load_held(home: Path) -> set[str]:
    """Return the names of the components that :func:`stop_component` stopped."""
    try:
        return set(json.loads(_path(home).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return set()


def save_held(home: Path, names: set[str]) -> None:
    """Write the names of the components that the watcher must not start."""
    replace_file(_path(home), json.dumps(sorted(names)))


def stop_component(home: Path, name: str) -> None:
    """Stop component `name` and keep it stopped; return when its process has ended, or raise StackError."""
    component, supervisord = load_plan(home).component(name), connect(home)
    save_held(home, load_held(home) | {name})
    supervisord.stop(name)
    limit = component.stop_seconds + _KILL_SECONDS
    if not supervisord.wait_stopped([name], limit):
        raise StackError(f"{name} did not end within {limit:.0f} s; see {home}/logs/{name}.log")


def start_component(home: Path, name: str) -> None:
    """Start component `name`, allow the watcher to restart it again, and return at once; raises StackError."""
    load_plan(home).component(name)
    supervisord = connect(home)
    save_held(home, load_held(home) - {name})
    supervisord.start(name)
