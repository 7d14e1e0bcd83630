"""Read exits of components from supervisord's log, because its RPC omits signals, and forgets an exit at the next start."""

import re
from pathlib import Path

from weir.local.log_tail import LogTail

__all__ = ["ExitLog"]

_EXITED = re.compile(r" exited: (?P<name>\S+) \((?P<reason>.*?)(?:; (?:not )?expected)?\)$")


class ExitLog:
    """Reads the exits that supervisord logs after this object was created."""

    def __init__(self, log: Path) -> None:
        self._tail = LogTail(log)

    def new_exits(self) -> list[tuple[str, str]]:
        """Return (component, reason) of each exit since the last call, oldest first."""
        found = map(_EXITED.search, self._tail.new_lines())
        return [(match["name"], match["reason"]) for match in found if match]
