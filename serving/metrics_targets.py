"""Where the metrics of a serving process are found: a file a process, since a replica's port is known when it has bound it.

``$WEIR_HOME/run/metrics/<name>.json`` holds ``{"name", "component", "address": "127.0.0.1:port", "pid"}``. Whoever writes one
removes those whose process is gone; whoever reads them should skip those.
"""

import os
from pathlib import Path

import msgspec

from stream.files import replace_file

__all__ = ["MetricsTarget", "list_targets", "register_target"]


class MetricsTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One process's metrics port."""

    name: str
    component: str
    address: str
    pid: int


def register_target(directory: Path, target: MetricsTarget) -> None:
    """Write `target`'s file, and remove those of processes that are gone."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, known in _read(directory):
        if not _alive(known.pid):
            path.unlink(missing_ok=True)
    replace_file(directory / f"{target.name}.json", msgspec.json.encode(target))


def list_targets(directory: Path) -> list[MetricsTarget]:
    """Return the targets whose processes live, by name."""
    return sorted((known for _, known in _read(directory) if _alive(known.pid)), key=lambda target: target.name)


def _read(directory: Path) -> list[tuple[Path, MetricsTarget]]:
    found = []
    for path in directory.glob("*.json"):
        try:
            found.append((path, msgspec.json.decode(path.read_bytes(), type=MetricsTarget)))
        except (OSError, msgspec.DecodeError):
            continue
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
