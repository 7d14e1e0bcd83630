"""Run intake in this process: its recorder, its exchange pairer and its HTTP server."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import uvicorn
from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from serving.api_keys import KeyRing, keys_path
from serving.capture.recorder import Recorder
from serving.errors import ServingError
from serving.inference_records import ExpectedVerdicts
from serving.intake.app import Intake
from serving.intake.connections import bounded_protocol
from serving.intake.exchange_pairer import ExchangePairer
from serving.listener import listening
from serving.settings import CaptureSettings, IntakeSettings
from stream.pause import pause

_HEALTH_SECONDS = 0.5
_SHUTDOWN_SECONDS = 5
#: The key begins with "waiting", so that the watcher does not restart intake: a restart frees no space.
_NO_ROOM = "waiting for room in the spool"


class _Server(uvicorn.Server):
    """A uvicorn server that does not handle signals; the process handles them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


async def run_intake(  # noqa: PLR0913 - what a process's main hands over
    *,
    home: Path,
    settings: IntakeSettings,
    capture: CaptureSettings,
    expected: ExpectedVerdicts,
    registry: CollectorRegistry,
    tracer_provider: TracerProvider,
    stop: asyncio.Event,
    health: dict[str, object],
) -> None:
    """Serve intake's HTTP API until `stop`; raises ServingError if the port is taken, or the spool cannot be written.

    A full spool always rejects items, also if ``capture.on_full`` is ``shed``, because clients can send again. `health` contains a reason
    while the spool cannot be written.
    """
    listener = _listener(settings)
    rejecting = capture.model_copy(update={"on_full": "reject"})
    with listener, Recorder(root=home / "spool", settings=rejecting, registry=registry, kind="intake") as recorder:
        tracer = tracer_provider.get_tracer("weir.intake")
        path = home / "intake" / "halves.sqlite"
        pairer = ExchangePairer(path, recorder, expected, settings, tracer=tracer, registry=registry)
        with closing(pairer):
            app = Intake(settings, pairer, KeyRing(keys_path(home)), registry)
            config = uvicorn.Config(
                app,
                http=bounded_protocol(settings),
                ws="none",  # an upgrade would replace the protocol, which then would not count the connection as closed
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
            server = _Server(config)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve([listener]))
                tasks.create_task(app.run(stop))
                await _watch(recorder, stop, health)
                server.should_exit = True


async def _watch(recorder: Recorder, stop: asyncio.Event, health: dict[str, object]) -> None:
    while not stop.is_set():
        if recorder.writable():
            health.pop(_NO_ROOM, None)
        else:
            health[_NO_ROOM] = "full or not writable; clients get 503"
        await pause(stop, _HEALTH_SECONDS)


def _listener(settings: IntakeSettings) -> socket.socket:
    try:
        return listening(settings.host, settings.port)
    except OSError as error:
        raise ServingError(
            f"intake cannot listen on {settings.host}:{settings.port}: {error.strerror}; set intake.host and intake.port"
        ) from error
