"""The metrics addresses of serving processes: one file per process, because the port of a replica is known only after the start.

``$WEIR_HOME/run/metrics/<name>.json`` contains ``{"name", "component", "address": "127.0.0.1:port", "pid"}``. Readers skip the files of
processes that have ended, and the next process that registers removes them.
"""

import os
from pathlib import Path

import msgspec

from stream.files import replace_file

__all__ = ["MetricsTarget", "list_targets", "register_target"]


class MetricsTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics address of one process."""

    name: str
    component: str
    address: str
    pid: int


def register_target(directory: Path, target: MetricsTarget) -> None:
    """Write the file of `target`, and remove the files of processes that have ended."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, known in _read(directory):
        if not _runs(known.pid):
            path.unlink(missing_ok=True)
    replace_file(directory / f"{target.name}.json", msgspec.json.encode(target))


def list_targets(directory: Path) -> list[MetricsTarget]:
    """Return the targets of running processes, ordered by name."""
    return sorted((known for _, known in _read(directory) if _runs(known.pid)), key=lambda target: target.name)


def _read(directory: Path) -> list[tuple[Path, MetricsTarget]]:
    found = []
    for path in directory.glob("*.json"):
        try:
            found.append((path, msgspec.json.decode(path.read_bytes(), type=MetricsTarget)))
        except (OSError, msgspec.DecodeError):
            continue
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True
