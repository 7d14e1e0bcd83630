"""Read the last lines of a log, the lines that are appended later, and the exits of components in supervisord's log."""

import re
from pathlib import Path

from weir.local.plan import log_path

_EXCERPT_LINES = 12
_EXITED = re.compile(r" exited: (?P<name>\S+) \((?P<reason>.*?)(?:; (?:not )?expected)?\)$")


class LogTail:
    """Reads the lines that are appended to a log after this object was created; the log may be rotated or missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def new_lines(self) -> list[str]:
        """Return the complete lines appended since the last call."""
        try:
            if self._path.stat().st_size < self._offset:  # rotated
                self._offset = 0
            with self._path.open("rb") as file:
                file.seek(self._offset)
                appended = file.read()
        except FileNotFoundError:
            return []
        complete = appended[: appended.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.decode(errors="replace").splitlines()


class ExitLog:
    """Reads the exits that supervisord logs after this object was created.

    The RPC of supervisord omits signals, and forgets an exit at the next start.
    """

    def __init__(self, log: Path) -> None:
        self._tail = LogTail(log)

    def new_exits(self) -> list[tuple[str, str]]:
        """Return (component, reason) of each exit since the last call, oldest first."""
        found = map(_EXITED.search, self._tail.new_lines())
        return [(match["name"], match["reason"]) for match in found if match]


def log_excerpt(home: Path, name: str) -> str:
    """Return the path of a component's log and its last lines."""
    path = log_path(home, name)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_EXCERPT_LINES:]
    except OSError:
        lines = []
    return "\n  ".join([f"its log, {path}, ends:", *lines]) if lines else f"its log {path} is empty"
