"""What is known of a running stack: ``state/components.json`` (by the watcher) and ``state/supervisor.json`` (by ``weir up``)."""

import json
from pathlib import Path

import msgspec

from serving.metrics_targets import MetricsTarget, list_targets
from stream.files import replace_file
from weir.local.plan import Plan, state_dir
from weir.local.processes import identity, is_running

__all__ = [
    "ComponentState",
    "SupervisorRecord",
    "components",
    "metrics_targets",
    "read_supervisor",
    "record_supervisor",
    "supervisor_runs",
    "write_components",
    "write_targets",
]


class ComponentState(msgspec.Struct, frozen=True, kw_only=True):
    """A component as the watcher saw it last.

    Parameters
    ----------
    pid
        Of its main process; 0 where there is none.
    running
        Whether that very process (pid and start time) still runs; decided when the file is read.
    restarts
        Since the stack was started, deaths and hangs alike.
    """

    name: str
    pid: int
    address: str
    health_url: str
    metrics_url: str
    log: str
    started_at: float
    restarts: int
    running: bool
    identity: str = ""


class SupervisorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisord of a home: its process, its socket, its run directory."""

    pid: int
    identity: str
    socket: str
    run_dir: str


def _components_path(home: Path) -> Path:
    return state_dir(home) / "components.json"


def _supervisor_path(home: Path) -> Path:
    return state_dir(home) / "supervisor.json"


def components(home: Path) -> list[ComponentState]:
    """Return the components of the stack in `home`, in the order of their start; empty where none was started.

    Whether each runs is checked now; ask :func:`weir.local.health.health_probe.probe` (``health_url``) for its health.
    """
    try:
        known = msgspec.json.decode(_components_path(home).read_bytes(), type=list[ComponentState])
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    return [msgspec.structs.replace(one, running=is_running(one.pid, one.identity)) for one in known]


def write_components(home: Path, known: list[ComponentState]) -> None:
    """Write what :func:`components` reads."""
    replace_file(_components_path(home), msgspec.json.format(msgspec.json.encode(known), indent=1))


def record_supervisor(home: Path, pid: int, socket: Path, run_dir: Path) -> None:
    """Keep which supervisord this home has."""
    record = SupervisorRecord(pid=pid, identity=identity(pid) or "", socket=str(socket), run_dir=str(run_dir))
    replace_file(_supervisor_path(home), msgspec.json.encode(record))


def read_supervisor(home: Path) -> SupervisorRecord | None:
    """Return the supervisord that was started last, whether it runs or not."""
    try:
        return msgspec.json.decode(_supervisor_path(home).read_bytes(), type=SupervisorRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def supervisor_runs(home: Path) -> bool:
    """Tell whether the recorded supervisord still runs."""
    record = read_supervisor(home)
    return record is not None and is_running(record.pid, record.identity)


def forget(home: Path) -> None:
    """Remove the records of a stack that was stopped."""
    for path in (_components_path(home), _supervisor_path(home)):
        path.unlink(missing_ok=True)


def metrics_targets(home: Path, plan: Plan) -> list[MetricsTarget]:
    """Return where this stack's metrics are: the components' ports, and those that replicas registered."""
    fixed = [MetricsTarget(name=one.name, component=one.name, address=one.metrics, pid=0) for one in plan.components]
    return [one for one in fixed if one.address] + list_targets(home / "run" / "metrics")


def write_targets(home: Path, plan: Plan) -> None:
    """Write ``prometheus-targets.json`` (file_sd)."""
    groups = [_group(one) for one in metrics_targets(home, plan)]
    path, data = home / "prometheus-targets.json", json.dumps(groups, indent=2).encode() + b"\n"
    if not path.exists() or path.read_bytes() != data:
        replace_file(path, data, mode=0o644)


def _group(one: MetricsTarget) -> dict[str, object]:
    return {"targets": [one.address], "labels": {"job": "weir", "component": one.component, "process": one.name}}
