"""A gateway's backend without Ray, and a gateway in its own process: ``python -m support.gateway HOME``.

The process serves the real gateway and the echo engine under uvicorn, writes its port to ``HOME/port``, and accepts few requests, so that
a test can send more.
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

from serving.api_keys import KeyRing, keys_path
from serving.backend import BackendLost, ModelInfo, ModelRequest, OpenAIChunk, RejectedRequest
from serving.capture.recorder import Recorder
from serving.engine.echo_engine import EchoEngine
from serving.gateway.gateway import Gateway
from serving.gateway.inference import Wiring
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.models import ServedModels
from serving.inference_records import ExpectedVerdicts
from serving.replica.model_server import ModelServer
from serving.settings import CaptureSettings, HttpSettings
from stream.files import replace_file
from stream.settings import KafkaSettings

KEY = "weir-test-key"
CAPACITY = 16


class InProcess:
    """A backend without Ray; after `lose_after` chunks it raises BackendLost, as after a kill of the replica."""

    def __init__(self, server: ModelServer, capacity: int = 64) -> None:
        self.server = server
        self._capacity = capacity
        self.lose_after: int | None = None
        self.lost = False

    async def describe(self) -> ModelInfo:
        if self.lost:
            raise BackendLost("ActorDiedError")
        return self.server.describe()

    async def generate(self, request: ModelRequest) -> AsyncGenerator[OpenAIChunk | RejectedRequest, None]:
        seen = 0
        async with aclosing(self.server.generate(request)) as items:
            async for item in items:
                if seen == self.lose_after:
                    raise BackendLost("ActorDiedError")
                seen += 1
                yield item

    def capacity(self) -> int:
        return self._capacity


def write_keys(path: Path, *keys) -> None:
    """Write (id, tenant, key, revoked[, scopes]) as ``weir keys`` does; without scopes, as versions did before scopes existed."""
    listed = [
        {"id": i, "tenant": t, "sha256": hashlib.sha256(k.encode()).hexdigest(), "created": "x", "revoked": r}
        | ({"scopes": scopes[0]} if scopes else {})
        for i, t, k, r, *scopes in keys
    ]
    path.write_text(json.dumps({"keys": listed}))


def make_gateway(home, backend, recorder, registry, **options):
    """Return a gateway whose keys are in `home`, with a backend or {model: backend}; `options` are `expected`, `tracer`, `guards`, `routes`, `tenants`, `with_images`, `edge_token` and those of HttpSettings."""
    wiring = Wiring(
        recorder=recorder,
        metrics=GatewayMetrics(registry),
        tracer=options.pop("tracer", None) or TracerProvider().get_tracer("test"),
        expected=options.pop("expected", ExpectedVerdicts(input=("pii",), output=("pii",))),
        topic=KafkaSettings().names.inference,
        guards=options.pop("guards", None),
        routes=options.pop("routes", None),
        tenants=options.pop("tenants", {}),
    )
    backends = backend if isinstance(backend, dict) else {"echo": backend}
    models = ServedModels(backends, options.pop("with_images", ()))
    token = options.pop("edge_token", "")
    http = HttpSettings().model_copy(update=options)
    return Gateway(http, wiring, models, KeyRing(keys_path(home)), token)


async def serve(home: Path) -> None:
    registry = CollectorRegistry()
    write_keys(keys_path(home), ("k_1", "acme", KEY, None))
    with Recorder(root=home / "spool", settings=CaptureSettings(), registry=registry) as recorder:
        backend = InProcess(ModelServer(EchoEngine(), max_requests=CAPACITY), CAPACITY)
        gateway = make_gateway(home, backend, recorder, registry)
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
            replace_file(home / "port", str(listener.getsockname()[1]))
            config = uvicorn.Config(gateway, log_level="warning", access_log=False, backlog=4096)
            await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
