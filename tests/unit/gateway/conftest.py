"""A gateway in this process and a model server with the real echo engine, connected by the interface of Ray's handle."""

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from support.gateway import KEY, InProcess, make_gateway, write_keys
from support.ledger_log import Log
from support.scripted_upstream import scripted_upstream
from support.spool import events_of

from serving.api_keys import keys_path
from serving.capture.recorder import Recorder
from serving.engine.echo_engine import EchoEngine
from serving.inference_records import ExpectedVerdicts
from serving.replica.model_server import ModelServer
from serving.settings import CaptureSettings, ModelSettings
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_backend import UpstreamBackend
from stream.ledger.shard import Shard
from stream.wire import RequestRecord, ResponseRecord

EDGE = "e" * 64
PROVIDER_KEY = "sk-provider"


class Stack:
    """A gateway with its spool, spans, metrics and HTTP client."""

    def __init__(
        self,
        tmp_path,
        *,
        on_full="shed",
        limit_bytes=64 * 1024**2,
        capture=True,
        context_characters=0,
        max_requests=64,
        capacity=64,
        upstream=None,
        **bounds,
    ) -> None:
        self.home = tmp_path
        self.registry = CollectorRegistry()
        self.engine = EchoEngine()
        self.backend = InProcess(ModelServer(self.engine, max_requests=max_requests), capacity)
        if upstream is not None:
            settings = ModelSettings(engine="upstream", **upstream)
            self.backend = UpstreamBackend("echo", settings, UpstreamMetrics(self.registry))
        settings = CaptureSettings(on_full=on_full).model_copy(update={"limit_bytes": limit_bytes})
        self.recorder = Recorder(root=tmp_path / "spool", settings=settings, registry=self.registry)
        self.recorder.start()
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.keys_path = keys_path(tmp_path)
        self.write_keys(("k_1", "acme", KEY, None))
        detectors = {"input": ("pii", "injection"), "output": ("pii", "refusal")}
        expected = ExpectedVerdicts(**detectors, context_characters=context_characters)
        bounds = {"edge_token": EDGE, "expected": expected} | bounds
        recorder, tracer = self.recorder if capture else None, provider.get_tracer("test")
        self.gateway = make_gateway(tmp_path, self.backend, recorder, self.registry, tracer=tracer, **bounds)
        transport, headers = httpx.ASGITransport(app=self.gateway), {"authorization": f"Bearer {KEY}"}
        self.client = httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)

    def write_keys(self, *keys) -> None:
        write_keys(self.keys_path, *keys)

    def chat(self, text="one two three", **fields):
        return self.post("chat/completions", **{"messages": [{"role": "user", "content": text}]} | fields)

    def post(self, path, **fields):
        return self.client.post(f"/v1/{path}", json={"model": "echo"} | fields)

    def ended(self):
        """Return the request and its end, after a check that a ledger stores both."""
        records = self.records()
        shard = Shard(":memory:")
        assert shard.apply(Log().inference(*records)) == len(records)
        shard.close()
        request, end = (record.data for record in records)
        assert request.request_id == end.request_id
        return request, end

    def records(self):
        """Close the spool and return the events of its requests and ends."""
        self.recorder.close()
        events = events_of(self.home / "spool" / self.recorder.source)
        return [event for event in events if isinstance(event.data, RequestRecord | ResponseRecord)]


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
        if isinstance(stack.backend, UpstreamBackend):
            await stack.backend.close()
        stack.recorder.close()


@pytest.fixture
def stack(make_stack):
    return make_stack()


@pytest.fixture
async def upstream():
    async with scripted_upstream() as server:
        yield server


@pytest.fixture
def relay(make_stack, upstream):
    """Return a function that makes a stack whose model `echo` is served by `upstream`, which answers from a script."""

    def make(*script, stack=None, **settings):
        upstream.script = list(script)
        defaults = {"base_url": upstream.url, "upstream_api_key": PROVIDER_KEY, "upstream_model": "provider-model"}
        return make_stack(upstream=defaults | {"upstream_retries": 0} | settings, **(stack or {}))

    return make
