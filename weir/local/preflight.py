"""What must be in place before anything starts: the home, the HTTP port, the ports, the first key, the model."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from serving.engine.errors import EngineError
from serving.engine.fetch_model import ModelFiles, ensure
from stream.files import FileLock
from weir.errors import StackError
from weir.home.ports import PORT_NAMES, ensure_ports, port_is_free
from weir.local.processes import HOME_MARK
from weir.local.ray_ports import ray_port_names
from weir.settings import Settings

__all__ = ["ensure_model", "exclusive", "make_home", "port_owner", "refuse_busy_http_port", "stack_ports"]


def make_home(home: Path) -> None:
    """Make the home and its folders, for their owner alone."""
    for directory in (home, home / "logs", home / "state", home / "data", home / "spool"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Let one ``weir up`` or ``weir down`` at a time change the stack in `home`.

    Raises
    ------
    StackError
        Another one is at it.
    """
    path = home / "state" / "lock"
    lock = FileLock.try_acquire(path)
    if lock is None:
        raise StackError(
            f"another weir up or down (pid {path.read_text(encoding='ascii') or 'unknown'}) is changing the stack in {home}; "
            "wait until it is done, or interrupt it"
        )
    with lock:
        path.write_text(str(os.getpid()), encoding="ascii")
        yield


def port_owner(port: int) -> str:
    """Describe who listens on `port`, as far as this user may see."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return _describe(connection.pid)
    return "a process of another user"


def _describe(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline())[:80]
        described = f"{process.name()} (pid {pid}: {command})"
        stack = process.environ().get(HOME_MARK)
    except (psutil.Error, OSError):
        return f"pid {pid}"
    return f"{described}, of the Weir stack in {stack}" if stack else described


def refuse_busy_http_port(settings: Settings) -> None:
    """Raise StackError where somebody listens on the HTTP port, naming who, and the setting."""
    port, host = settings.http.port, settings.http.host
    if not port_is_free(port, host):
        raise StackError(
            f"HTTP port {port} on {host} is taken by {port_owner(port)}; stop that, or set another port with "
            f"WEIR_HTTP__PORT (for example WEIR_HTTP__PORT={port + 1})"
        )


def stack_ports(home: Path) -> tuple[dict[str, int], list[str]]:
    """Return every port of the stack but HTTP's, and the names of those that had to change."""
    return ensure_ports(home, [*PORT_NAMES, *ray_port_names()])


def ensure_model(settings: Settings, progress: Callable[[str, float], None]) -> ModelFiles:
    """Return the files of the served model, fetching them the first time.

    Raises
    ------
    StackError
        It cannot be had.
    """
    model = settings.model
    cache = Path(model.cache).expanduser() if model.cache else None
    try:
        return ensure(model.name, cache, model.source, progress)
    except EngineError as error:
        raise StackError(f"model {model.name}: {error}. Set WEIR_MODEL__NAME or WEIR_MODEL__SOURCE") from error
