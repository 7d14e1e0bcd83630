"""The metrics addresses of serving processes: one file per process, because the port of a replica is known only after the start.

``$WEIR_HOME/run/metrics/<name>.json`` contains ``{"name", "component", "address": "127.0.0.1:port", "pid", "identity"}``. Readers skip the files
of processes that have ended, also if another process has the pid now, and the next process that registers removes them.
"""

from pathlib import Path

import msgspec

from serving.process_identity import is_running, process_identity
from stream.files import read_json, write_json


class MetricsTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics address of one process; `identity` is that of the process, see :func:`serving.process_identity.process_identity`."""

    name: str
    component: str
    address: str
    pid: int
    identity: str = ""


def register_target(directory: Path, target: MetricsTarget) -> None:
    """Write the file of `target` with the identity of its process, and remove the files of processes that have ended."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in directory.glob("*.json"):
        if (known := read_json(path, MetricsTarget)) is not None and not is_running(known.pid, known.identity):
            path.unlink(missing_ok=True)
    identified = msgspec.structs.replace(target, identity=process_identity(target.pid) or "")
    write_json(directory / f"{target.name}.json", identified)


def list_targets(directory: Path) -> list[MetricsTarget]:
    """Return the targets of running processes, ordered by name."""
    known = filter(None, (read_json(path, MetricsTarget) for path in directory.glob("*.json")))
    return sorted((one for one in known if is_running(one.pid, one.identity)), key=lambda target: target.name)
