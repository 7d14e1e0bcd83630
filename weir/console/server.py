"""The console's server: a thread with its own event loop, so that page requests do not block the ledger."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from serving.header_deadline import HeaderDeadline
from serving.listener import listening
from weir.console.addresses import console_port
from weir.console.app import console_app
from weir.console.sessions import Sessions, ensure_token
from weir.errors import WeirError
from weir.settings import Settings

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0
_STOP_SECONDS = 5.0
_MAX_REQUESTS = 64
#: A connection without a request counts as one of _MAX_REQUESTS; it needs no session.
_HEADER_SECONDS = 10.0
#: Key of the health report.
_WAITING = "waiting for the console"


class _Protocol(HeaderDeadline):
    header_seconds = _HEADER_SECONDS


class Console:
    """Serves until :meth:`stop`; if the port is in use or the server fails, it tries again every five seconds."""

    def __init__(self, settings: Settings, port: int, health: dict[str, Any]) -> None:
        self._settings = settings
        self._port = port
        self._health = health
        self._sessions = Sessions(ensure_token(settings.home))
        self._ended = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)

    def start(self) -> "Console":
        """Start the thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and all connections."""
        self._ended.set()
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with listening(self._settings.console.host, self._port) as listener:
                    self._serve(listener)
            except Exception as error:  # noqa: BLE001 - the thread's boundary: nothing else would report it
                self._wait(error)

    def _wait(self, error: Exception) -> None:
        """Log why the console does not answer (each reason once), and wait before the next try."""
        problem = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError):
            problem = f"{error.strerror or error}; set console.host and console.port to a free address of this machine"
        reason = f"{self._settings.console.host}:{self._port}: {problem}"
        if self._health.get(_WAITING) != reason:
            _LOG.warning("the console does not answer at %s", reason, exc_info=not isinstance(error, OSError))
        self._health[_WAITING] = reason
        self._ended.wait(_RETRY_SECONDS)

    def _serve(self, listener: socket.socket) -> None:
        config = uvicorn.Config(
            console_app(self._settings, self._sessions, self._port),
            loop="asyncio",
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MAX_REQUESTS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._server.should_exit = self._ended.is_set()
        self._health.pop(_WAITING, None)
        asyncio.run(self._server.serve(sockets=[listener]))


@contextmanager
def served(settings: Settings, health: dict[str, Any]) -> Iterator[None]:
    """Serve the console while the body runs; if the console is off or cannot start, the body still runs."""
    console = None
    if settings.console.enabled:
        try:
            console = Console(settings, console_port(settings), health).start()
        except (WeirError, OSError) as error:
            _LOG.warning("the console cannot be served: %s", error)
    try:
        yield
    finally:
        if console is not None:
            console.stop()
