"""The intake's process: its recorder, its desk, its HTTP port, from start to stop."""

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
from serving.intake.app import Intake
from serving.intake.connections import bounded_protocol
from serving.intake.exchange_pairer import Desk
from serving.intake.reported_exchange import Owed
from serving.settings import CaptureSettings, IntakeSettings

__all__ = ["run_intake"]

_LOOK_SECONDS = 0.5


class _Server(uvicorn.Server):
    """A server that leaves the signals to who started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def run_intake(  # noqa: PLR0913 - what a process's main hands over
    *,
    home: Path,
    settings: IntakeSettings,
    capture: CaptureSettings,
    owed: Owed,
    registry: CollectorRegistry,
    tracer_provider: TracerProvider,
    stop: asyncio.Event,
    health: dict[str, object],
) -> None:
    """Take what other gateways served until `stop`; what was answered for by then is in the spool or held for the next start.

    Parameters
    ----------
    home
        ``WEIR_HOME``: keys, spool and the desk's file are under it.
    settings
        Where to listen, and bounds.
    capture
        The spool's; a full one refuses, whatever ``on_full`` says, since a sender can send again.
    owed
        What is owed of texts, as at the gateway.
    registry, tracer_provider
        Where it reports.
    stop
        Ends it.
    health
        Told while the spool takes nothing.

    Raises
    ------
    ServingError
        The port is taken, or the spool cannot be written.
    """
    listener = _listener(settings)
    refusing = capture.model_copy(update={"on_full": "reject"})
    with listener, Recorder(root=home / "spool", settings=refusing, registry=registry, kind="intake") as recorder:
        desk = Desk(
            home / "intake" / "desk.sqlite",
            recorder,
            owed,
            tracer=tracer_provider.get_tracer("weir.intake"),
            registry=registry,
            pair_seconds=settings.pair_seconds,
            remember_seconds=settings.remember_hours * 3600,
            held_limit=settings.held_limit,
        )
        with closing(desk):
            app = Intake(settings, desk, KeyRing(keys_path(home)), registry)
            config = uvicorn.Config(
                app,
                http=bounded_protocol(settings),
                ws="none",  # an upgrade would replace the protocol, and its connection would never be counted as closed
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )
            server = _Server(config)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve([listener]))
                tasks.create_task(app.run(stop))
                await _watch(recorder, stop, health)
                server.should_exit = True


async def _watch(recorder: Recorder, stop: asyncio.Event, health: dict[str, object]) -> None:
    while not stop.is_set():
        health.pop("spool", None)
        if not recorder.writable():
            health["spool"] = "full or not writable; what is sent gets 503"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)


def _listener(settings: IntakeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise ServingError(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}; set intake.host and intake.port"
        ) from error
