"""The metrics addresses of serving processes: one file per process, because the port of a replica is known only after the start.

``$WEIR_HOME/run/metrics/<name>.json`` contains ``{"name", "component", "address": "127.0.0.1:port", "pid", "identity"}``. Readers skip the files
of processes that have ended, also if another process has the pid now, and the next process that registers removes them.
"""

from pathlib import Path

import msgspec

from serving.process_identity import is_running, process_identity
from stream.files import replace_file


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
    for path, known in _read(directory):
        if not is_running(known.pid, known.identity):
            path.unlink(missing_ok=True)
    identified = msgspec.structs.replace(target, identity=process_identity(target.pid) or "")
    replace_file(directory / f"{target.name}.json", msgspec.json.encode(identified))


def list_targets(directory: Path) -> list[MetricsTarget]:
    """Return the targets of running processes, ordered by name."""
    running = (known for _, known in _read(directory) if is_running(known.pid, known.identity))
    return sorted(running, key=lambda target: target.name)


def _read(directory: Path) -> list[tuple[Path, MetricsTarget]]:
    found = []
    for path in directory.glob("*.json"):
        try:
            found.append((path, msgspec.json.decode(path.read_bytes(), type=MetricsTarget)))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found
