"""Talk to supervisord: XML-RPC over the unix socket in the private run directory."""

import contextlib
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from supervisor.xmlrpc import SupervisorTransport

from weir.errors import StackError
from weir.supervise.state import read_supervisor

__all__ = ["ALREADY_STARTED", "NOT_RUNNING", "ProcessInfo", "Supervisord", "connect"]

_POLL_SECONDS = 0.1
ALREADY_STARTED, NOT_RUNNING = 60, 70


class ProcessInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A process as supervisord sees it; `start` is 0 where it was never started."""

    name: str
    statename: str
    pid: int
    start: int
    stop: int
    exitstatus: int
    spawnerr: str


class Supervisord:
    """One supervisord.

    Parameters
    ----------
    socket
        Its unix socket.
    """

    def __init__(self, socket: Path) -> None:
        transport = SupervisorTransport(None, None, f"unix://{socket}")
        self._server: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def alive(self) -> bool:
        """Tell whether it answers."""
        try:
            return bool(self._server.getState()["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error, xmlrpc.client.ProtocolError, ValueError):
            return False

    def processes(self) -> dict[str, ProcessInfo]:
        """Return every process by name."""
        return {one["name"]: msgspec.convert(one, ProcessInfo) for one in self._server.getAllProcessInfo()}

    def start(self, name: str) -> None:
        """Start `name` and return at once; no error where it runs already."""
        with _tolerating(ALREADY_STARTED):
            self._server.startProcess(name, False)

    def stop(self, name: str) -> None:
        """Begin to stop `name` (SIGTERM, later SIGKILL to its group) and return at once."""
        with _tolerating(NOT_RUNNING):
            self._server.stopProcess(name, False)

    def wait_stopped(self, names: list[str], timeout_seconds: float) -> bool:
        """Wait until none of `names` runs."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            infos = self.processes()
            if not any(infos[name].pid for name in names if name in infos):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def shutdown(self) -> None:
        """Begin to stop everything, itself last, and return at once."""
        with contextlib.suppress(OSError, xmlrpc.client.Error):
            self._server.shutdown()


@contextlib.contextmanager
def _tolerating(code: int) -> Iterator[None]:
    try:
        yield
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != code:
            raise StackError(f"the supervisor refused: {fault.faultString}; see logs/supervisord.log") from None


def connect(home: Path) -> Supervisord:
    """Return the supervisord of the stack in `home`.

    Raises
    ------
    StackError
        None runs there.
    """
    record = read_supervisor(home)
    if record is not None:
        supervisord = Supervisord(Path(record.socket))
        if supervisord.alive():
            return supervisord
    raise StackError(
        f"no stack runs in {home}; start one with `weir up`, or set WEIR_HOME to the home of one that does"
    )
