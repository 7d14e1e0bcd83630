"""A gateway in process, before a model server with the real echo engine, behind the interface that Ray's handle has."""

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from support.gateway import KEY, InProcess, write_keys

from serving.api_keys import KeyRing
from serving.capture.recorder import Recorder
from serving.engine.echo_engine import EchoEngine
from serving.gateway.endpoints import GatewaySettings
from serving.gateway.gateway import Gateway
from serving.gateway.inference import Wiring
from serving.gateway.metrics import Instruments
from serving.replica.model_server import ModelServer
from serving.settings import CaptureSettings

EDGE = "e" * 64


class Stack:
    """A gateway and everything that a test asks about it."""

    def __init__(
        self,
        tmp_path,
        *,
        on_full="shed",
        limit_bytes=64 * 1024**2,
        capture=True,
        context_characters=0,
        most_held=64,
        **bounds,
    ) -> None:
        self.home = tmp_path
        self.registry = CollectorRegistry()
        self.engine = EchoEngine()
        self.server = ModelServer(self.engine, most_held=most_held, max_length=8192)
        self.backend = InProcess(self.server)
        settings = CaptureSettings(on_full=on_full, limit_bytes=limit_bytes)
        self.recorder = Recorder(root=tmp_path / "spool", settings=settings, registry=self.registry)
        self.recorder.start()
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.keys_path = tmp_path / "keys.json"
        self.write_keys(("k_1", "acme", KEY, None))
        wiring = Wiring(
            backend=self.backend,
            capture=self.recorder if capture else None,
            instruments=Instruments(self.registry),
            tracer=provider.get_tracer("test"),
            owed_input=("pii", "injection"),
            owed_output=("pii", "refusal"),
            context_characters=context_characters,
        )
        recorder = self.recorder if capture else None
        gateway_settings = GatewaySettings(model="echo", edge_token=EDGE, **({"most_in_flight": 64} | bounds))
        self.gateway = Gateway(gateway_settings, wiring, KeyRing(self.keys_path), recorder)
        transport = httpx.ASGITransport(app=self.gateway)
        self.client = httpx.AsyncClient(
            transport=transport, base_url="http://gateway", headers={"authorization": f"Bearer {KEY}"}
        )

    def write_keys(self, *keys) -> None:
        write_keys(self.keys_path, *keys)

    def chat(self, text="one two three", **fields):
        body = {"model": "echo", "messages": [{"role": "user", "content": text}]} | fields
        return self.client.post("/v1/chat/completions", json=body)


@pytest.fixture
async def make_stack(tmp_path):
    made = []

    def make(**options) -> Stack:
        home = tmp_path / str(len(made))
        home.mkdir()
        made.append(Stack(home, **options))
        return made[-1]

    yield make
    for stack in made:
        await stack.client.aclose()
        stack.recorder.close()


@pytest.fixture
def stack(make_stack):
    return make_stack()
