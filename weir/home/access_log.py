"""The log of accesses to prompts and answers, and of operators' actions, with the user: ``$WEIR_HOME/logs/access.log``."""

import json
import os
import pwd
import time
from pathlib import Path

from weir.errors import WeirError


def user_name() -> str:
    """Return the name of the user that runs this process, or the uid if the user has no name."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def log_access(home: Path, command: str, **what: str | float) -> Path:
    """Log the user and `what` (``request_id=…``), never content or a key; return the log file.

    The caller logs before it reads a text or changes something, except a revocation or a rollback, which must not wait for a log.
    Raises WeirError if the entry cannot be written.
    """
    path = home / "logs" / "access.log"
    entry = {"time": round(time.time(), 3), "user": user_name(), "uid": os.getuid(), "pid": os.getpid(), **what}
    try:
        _append(path, json.dumps(entry | {"command": command}))
    except OSError as error:
        raise WeirError(
            f"`{command}` cannot be logged in {path} ({error.strerror}), so it ends here; free disk space or correct the mode of the file"
        ) from None
    return path


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as log:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # the disk was full within the last entry
            log.write(b"\n")
        log.write(f"{line}\n".encode())
