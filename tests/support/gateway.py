"""A gateway's backend without Ray, and a gateway in a process of its own: ``python -m support.gateway HOME``.

The process serves the real gateway and the echo engine under uvicorn, says its port in ``HOME/port``, and holds few requests, so that a
test can ask for more.
"""

import asyncio
import hashlib
import json
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import uvicorn
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from serving.api_keys import KeyRing
from serving.capture.recorder import Recorder
from serving.engine.echo_engine import EchoEngine
from serving.gateway.endpoints import GatewaySettings
from serving.gateway.gateway import Gateway
from serving.gateway.inference import Wiring
from serving.gateway.metrics import Instruments
from serving.replica.generation import Generation, ModelInfo, Piece, Refusal, ReplicaLost
from serving.replica.model_server import ModelServer
from serving.settings import CaptureSettings

KEY = "weir-test-key"
CAPACITY = 16


class InProcess:
    """A backend without Ray; `lose_after` pieces the replica is gone, as after a kill."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.lose_after: int | None = None
        self.lost = False

    async def describe(self) -> ModelInfo:
        if self.lost:
            raise ReplicaLost("ActorDiedError")
        return self.server.describe()

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece | Refusal, None]:
        seen = 0
        async with aclosing(self.server.generate(generation)) as items:
            async for item in items:
                if seen == self.lose_after:
                    raise ReplicaLost("ActorDiedError")
                seen += 1
                yield item

    def capacity(self) -> int:
        return 64


def write_keys(path: Path, *keys) -> None:
    """Write (id, tenant, key, revoked) as ``weir keys`` does."""
    listed = [
        {"id": i, "tenant": t, "sha256": hashlib.sha256(k.encode()).hexdigest(), "created": "x", "revoked": r}
        for i, t, k, r in keys
    ]
    path.write_text(json.dumps({"keys": listed}))


async def serve(home: Path) -> None:
    registry = CollectorRegistry()
    write_keys(home / "keys.json", ("k_1", "acme", KEY, None))
    with Recorder(root=home / "spool", settings=CaptureSettings(), registry=registry) as recorder:
        wiring = Wiring(
            backend=InProcess(ModelServer(EchoEngine(), most_held=CAPACITY, max_length=8192)),
            capture=recorder,
            instruments=Instruments(registry),
            tracer=TracerProvider().get_tracer("test"),
            owed_input=("pii",),
            owed_output=("pii",),
        )
        settings = GatewaySettings(model="echo", most_in_flight=CAPACITY)
        gateway = Gateway(settings, wiring, KeyRing(home / "keys.json"), recorder)
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
            (home / "port.new").write_text(str(listener.getsockname()[1]))
            (home / "port.new").rename(home / "port")
            config = uvicorn.Config(gateway, log_level="warning", access_log=False, backlog=4096)
            await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
