"""State of a running stack: ``components.json``, which the watcher writes, and ``supervisor.json``, which ``weir up`` writes."""

from pathlib import Path

import msgspec

from serving.process_identity import is_running, process_identity
from stream.files import read_json, write_json
from weir.local.plan import state_dir


class ComponentState(msgspec.Struct, frozen=True, kw_only=True):
    """State of a component at the watcher's last check; `running` is checked again when the file is read.

    `pid` is 0 if no process runs. `restarts` is the number of restarts since the start of the stack.
    """

    name: str
    pid: int
    address: str
    health_url: str
    log: str
    started_at: float
    restarts: int
    running: bool
    identity: str = ""


class SupervisorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The process and the socket of the supervisord of a home."""

    pid: int
    identity: str
    socket: str


def _components_path(home: Path) -> Path:
    return state_dir(home) / "components.json"


def _supervisor_path(home: Path) -> Path:
    return state_dir(home) / "supervisor.json"


def load_components(home: Path) -> list[ComponentState]:
    """Return the components of the stack in `home`, in start order; [] if no stack was started.

    The call checks whether each component runs, but not its health; for this, pass `health_url` to :func:`weir.local.health.health_probe.probe`.
    """
    states = read_json(_components_path(home), list[ComponentState]) or []
    return [msgspec.structs.replace(state, running=is_running(state.pid, state.identity)) for state in states]


def save_components(home: Path, states: list[ComponentState]) -> None:
    """Write the file that :func:`load_components` reads."""
    write_json(_components_path(home), states)


def save_supervisor(home: Path, pid: int, socket: Path) -> None:
    """Write pid, identity and socket of the supervisord of this home."""
    record = SupervisorRecord(pid=pid, identity=process_identity(pid) or "", socket=str(socket))
    write_json(_supervisor_path(home), record)


def load_supervisor(home: Path) -> SupervisorRecord | None:
    """Return the supervisord that was started last; it may have ended."""
    return read_json(_supervisor_path(home), SupervisorRecord)


def supervisor_runs(home: Path) -> bool:
    """Return whether the recorded supervisord runs."""
    record = load_supervisor(home)
    return record is not None and is_running(record.pid, record.identity)


def delete_state(home: Path) -> None:
    """Delete the state of a stack that was stopped."""
    for path in (_components_path(home), _supervisor_path(home)):
        path.unlink(missing_ok=True)
