"""Read from supervisord's log what died, and of what: its RPC does not tell a signal, and forgets at the next start."""

import re
from pathlib import Path

__all__ = ["Deaths"]

_EXITED = re.compile(r" exited: (?P<name>\S+) \((?P<reason>.*?)(?:; (?:not )?expected)?\)$")


class Deaths:
    """Follows the log from its end on.

    Parameters
    ----------
    log
        ``supervisord.log``; it may be rotated or absent.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = log.stat().st_size if log.exists() else 0

    def news(self) -> list[tuple[str, str]]:
        """Return (name, reason) of every death since the last call, oldest first."""
        try:
            size = self._log.stat().st_size
            if size < self._offset:  # rotated
                self._offset = 0
            with self._log.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = (_EXITED.search(line) for line in whole.decode(errors="replace").splitlines())
        return [(match["name"], match["reason"]) for match in found if match]
