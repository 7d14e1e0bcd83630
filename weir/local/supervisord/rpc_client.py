"""Call supervisord: XML-RPC over the unix socket in the private run directory."""

import contextlib
import http.client
import socket
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from weir.errors import StackError
from weir.local.stack_state import load_supervisor

_POLL_SECONDS = 0.1
_TIMEOUT_SECONDS = 20.0
_ATTEMPTS = 4
#: Fault codes of supervisord (supervisor.xmlrpc.Faults).
_ALREADY_STARTED, _NOT_RUNNING = 60, 70


class ProcessInfo(msgspec.Struct, frozen=True, kw_only=True):
    """State of a process as supervisord reports it; `start` is 0 if it was never started."""

    name: str
    statename: str
    pid: int
    start: int


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("127.0.0.1", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    """Opens a new connection for each call, unlike supervisor's own transport.

    supervisor's transport reuses one connection, and a failed call breaks this connection.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        self._connection = host, connection  # for close()
        return connection


class Supervisord:
    """Client of the supervisord that listens at the unix socket `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _call(self, method: str, *arguments: object) -> Any:
        """Call a method, and retry if supervisord does not answer in time; all methods used here are idempotent."""
        failure: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                return self._call_once(method, *arguments)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                failure = error
                break
            except (OSError, http.client.HTTPException) as error:
                failure = error
        raise StackError(
            f"supervisord at {self._path} does not answer ({failure}); run `weir down`, then `weir up`"
        ) from failure

    def _call_once(self, method: str, *arguments: object) -> Any:
        transport = _UnixTransport(self._path)
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def alive(self) -> bool:
        """Return whether supervisord answers."""
        try:
            return bool(self._call_once("getState")["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return False

    def processes(self) -> dict[str, ProcessInfo]:
        """Return the states of all processes by name."""
        return {info["name"]: msgspec.convert(info, ProcessInfo) for info in self._call("getAllProcessInfo")}

    def start(self, name: str) -> None:
        """Start process `name` and return immediately; no error if the process runs already."""
        with _ignore_fault(_ALREADY_STARTED):
            self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Request a stop of process `name` (SIGTERM, later SIGKILL to its group), and return immediately."""
        with _ignore_fault(_NOT_RUNNING):
            self._call("stopProcess", name, False)

    def wait_stopped(self, names: list[str], timeout_seconds: float) -> bool:
        """Wait until no process in `names` runs; return False after `timeout_seconds`."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            infos = self.processes()
            if not any(infos[name].pid for name in names if name in infos):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def shutdown(self) -> None:
        """Request supervisord to stop all processes and then itself, and return immediately."""
        with contextlib.suppress(StackError, xmlrpc.client.Error):
            self._call("shutdown")


@contextlib.contextmanager
def _ignore_fault(code: int) -> Iterator[None]:
    try:
        yield
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != code:
            raise StackError(
                f"supervisord refused: {fault.faultString}; see logs/supervisord.log in the home folder"
            ) from None


def connect(home: Path) -> Supervisord:
    """Return a client of the supervisord of the stack in `home`; raises StackError if none runs."""
    record = load_supervisor(home)
    if record is not None:
        supervisord = Supervisord(Path(record.socket))
        if supervisord.alive():
            return supervisord
    raise StackError(
        f"no stack runs in {home}; start one with `weir up`, or set WEIR_HOME to the home of a running stack"
    )
