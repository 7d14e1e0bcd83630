"""The log of accesses to prompts and answers, with the user: ``$WEIR_HOME/logs/access.log``."""

import json
import os
import pwd
import time
from pathlib import Path

__all__ = ["log_access", "user_name"]


def user_name() -> str:
    """Return the name of the user that runs this process, or the uid if the user has no name."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def log_access(home: Path, command: str, **what: str | int) -> Path:
    """Log the user and `what` (``request_id=…``) before the text is read; return the log file."""
    path = home / "logs" / "access.log"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    entry = {"time": round(time.time(), 3), "user": user_name(), "uid": os.getuid(), "pid": os.getpid(), **what}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as log:
        log.write(json.dumps(entry | {"command": command}) + "\n")
    return path
