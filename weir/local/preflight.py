"""Prepare the start of a stack: its home and lock, the HTTP port, the other ports, the model."""

import errno
import os
import pwd
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from serving.engine.errors import EngineError, ModelInvalidError, ModelNotFoundError
from serving.engine.fetch_model import ensure
from serving.engine.model_files import ModelFiles
from serving.ray_local import layout
from serving.settings import ENGINES_WITHOUT_FILES, ModelSettings
from stream.files import FileLock
from weir.errors import StackError
from weir.home.disk_space import FULL_BYTES, MIB, NEEDED_BYTES, free_bytes
from weir.home.ports import PORT_NAMES, ensure_ports, listen_error
from weir.local.processes import HOME_MARK
from weir.settings import Settings

#: A character that the commands that Ray gives to a shell need in quotes; Ray writes the path of its programs without quotes.
_NEEDS_QUOTES = re.compile(r"[^\w@%+=:,./~-]")


def create_home(home: Path) -> None:
    """Create the home and its folders, which only their owner can read; raise StackError if that fails."""
    try:
        for directory in (home, home / "logs", home / "state", home / "data", home / "spool"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
    except OSError as error:
        owner = _other_owner(home)
        remedy = f"it belongs to the user {owner}: run the command as this user, or " if owner else ""
        raise StackError(
            f"home {home} cannot be created or written ({error.strerror}); {remedy}set WEIR_HOME to a folder that you can write to"
        ) from None


def check_disk(home: Path) -> str:
    """Return a note if the disk of `home` has less free space than a new stack needs, else ""; raises StackError if it is full."""
    free = free_bytes(home)
    if free >= NEEDED_BYTES:
        return ""
    where = f"{free / MIB:.0f} MiB are free on the disk of {home}"
    if free < FULL_BYTES:
        raise StackError(
            f"{where}, and a start needs at least {FULL_BYTES / MIB:.0f} MiB; free space on it, or set WEIR_HOME to a folder on another disk"
        )
    return f"{where}; a new stack needs {NEEDED_BYTES / MIB:.0f} MiB, and below {FULL_BYTES / MIB:.0f} MiB components exit, so free space on it"


def check_intake(settings: Settings) -> str:
    """Return a note if intake is off but its folder exists: halves of exchanges can wait in it, and only intake removes them."""
    folder = settings.home / "intake"
    if settings.intake.enabled or not folder.exists():
        return ""
    return f"intake is off, and {folder} can contain prompts and answers; to record them, start intake once; to remove them, delete the folder"


def _other_owner(path: Path) -> str:
    """Return the name or number of the user who owns `path`; "" if this user owns it, or if the owner is unknown."""
    try:
        uid = path.stat().st_uid
    except OSError:
        return ""
    if uid == os.geteuid():
        return ""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def lock_path(home: Path) -> Path:
    """Return the file that ``weir up`` and ``weir down`` lock while they change the stack in `home`."""
    return home / "state" / "lock"


@contextmanager
def stack_lock(home: Path) -> Iterator[None]:
    """Lock the stack in `home`; raise StackError if another ``weir up`` or ``weir down`` has the lock."""
    path = lock_path(home)
    lock = FileLock.try_acquire(path)
    if lock is None:
        raise StackError(
            f"another weir up or down (pid {path.read_text(encoding='ascii') or 'unknown'}) is changing the stack in {home}; "
            "wait until it ends, or interrupt it"
        )
    with lock:
        with suppress(OSError):  # only a message needs the pid; `weir down` works on a full disk too
            path.write_text(str(os.getpid()), encoding="ascii")
        yield


def port_owner(port: int) -> str:
    """Describe the process that listens on `port`, if this user is allowed to see the process."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return _describe(connection.pid)
    return "an unknown process (of another user)"


def _describe(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline())[:80]
        described = f"{process.name()} (pid {pid}: {command})"
        stack = process.environ().get(HOME_MARK)
    except (psutil.Error, OSError):
        return f"pid {pid}"
    return f"{described}, of the Weir stack in {stack}" if stack else described


def environment_problem(prefix: str = sys.prefix) -> str:
    """Return why Ray cannot start from the Python environment in `prefix`, with the fix; "" if it can."""
    if not (found := _NEEDS_QUOTES.search(prefix)):
        return ""
    return (
        f"Ray cannot start from {prefix}, because the path has the character {found.group()!r}; move the folder to a path of letters, digits "
        "and the characters . _ - only, and install again (in a clone: make clean up)"
    )


def check_environment() -> None:
    """Raise StackError if Ray cannot start from this Python environment."""
    if problem := environment_problem():
        raise StackError(problem)


def check_http_port(settings: Settings) -> None:
    """Raise StackError if the endpoint cannot listen on its address."""
    port, host = settings.http.port, settings.http.host
    if problem := http_port_problem(port, host):
        reason, fix = problem
        raise StackError(f"cannot listen on HTTP port {port} of {host}: {reason}; {fix}")


def http_port_problem(port: int, host: str) -> tuple[str, str] | None:
    """Return why the endpoint cannot listen on this address, and the fix; None if it can."""
    error = listen_error(port, host)
    if error is None:
        return None
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        fix = f"stop that process, or set another port, for example WEIR_HTTP__PORT={port + 1}"
        return f"it is in use by {port_owner(port)}", fix
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"this user has no right to port {port}", "set WEIR_HTTP__PORT to 1024 or more"
    reason = error.strerror if isinstance(error, OSError) else "not a host name"
    return (
        f"http.host {host!r} is not an IPv4 address of this machine ({reason})",
        "set WEIR_HTTP__HOST to 127.0.0.1 (only this machine), to an address of this machine, or to 0.0.0.0 (all its addresses)",
    )


def stack_ports(home: Path) -> tuple[dict[str, int], list[str]]:
    """Return all ports of the stack except the HTTP port, and the names of ports that changed because they were in use."""
    return ensure_ports(home, [*PORT_NAMES, *layout.PORT_NAMES])


def ensure_models(settings: Settings, progress: Callable[[str, float], None]) -> dict[str, Path]:
    """Return {model: path of its files} for the served models with files; download them if needed; raise StackError."""
    found = {name: ensure_model(name, model, progress) for name, model in settings.served_models().items()}
    return {name: files.path for name, files in found.items() if files is not None}


def ensure_model(name: str, model: ModelSettings, progress: Callable[[str, float], None]) -> ModelFiles | None:
    """Return the files of a served model, or None if its engine reads none; download them if needed; raise StackError."""
    if model.engine in ENGINES_WITHOUT_FILES:
        return None
    cache = Path(model.cache).expanduser() if model.cache else None
    try:
        return ensure(model.name, cache, model.source, progress)
    except (ModelInvalidError, ModelNotFoundError) as error:
        raise StackError(
            f"model {name}: {error}. Correct name or source in [model] (WEIR_MODEL__NAME, WEIR_MODEL__SOURCE), "
            f'or in [models."{name}"] if weir.toml has several models'
        ) from error
    except EngineError as error:
        raise StackError(f"model {name}: {error}") from error
