"""Payloads as LiteLLM 1.110 and KServe's logger send them, and an intake in this process over a real spool."""

import base64
import json
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from serving.api_keys import KeyRing, keys_path
from serving.capture.recorder import Recorder
from serving.inference_records import ExpectedVerdicts
from serving.intake.app import Intake
from serving.intake.exchange_pairer import ExchangePairer
from serving.settings import CaptureSettings, IntakeSettings
from stream.wire import RequestRecord, ResponseRecord
from support.gateway import KEY, write_keys
from support.spool import events_of
from support.stack import free_port, until
from support.weir_component import weir_component

EXPECTED = ExpectedVerdicts(input=("pii", "toxicity"), output=("pii",), context_characters=20)
LITELLM = Path(__file__).with_name("litellm.json")
SOURCE = "http://localhost:9081/"


REQUEST = {"model": "qwen-2", "messages": [{"role": "user", "content": "Mail me at ann.lee@example.org"}]}
RESPONSE = {"choices": [{"message": {"content": "ho"}, "finish_reason": "stop"}]}


def litellm_payload(**changes):
    """Return a StandardLoggingPayload of a chat that succeeded; fields that Weir does not read are left in, as LiteLLM sends them."""
    return json.loads(LITELLM.read_text())["success"] | changes


def litellm_failure(**changes):
    """Return a StandardLoggingPayload of a call that failed; its message quotes the prompt, as a provider's may."""
    return litellm_payload(**(json.loads(LITELLM.read_text())["failure"] | changes))


def kserve_headers(half, identity="0009174a-24a8-4603-b098-09c8799950e9", **changes):
    """Return the headers of an event as KServe's logger sends them: binary mode, the request's content type on both halves."""
    return {
        "ce-specversion": "1.0",
        "ce-id": identity,
        "ce-source": SOURCE,
        "ce-type": f"org.kubeflow.serving.inference.{half}",
        "ce-time": {"request": "2026-01-01T00:00:00.5Z", "response": "2026-01-01T00:00:02Z"}.get(half, ""),
        "ce-inferenceservicename": "qwen",
        "ce-namespace": "chat",
        "ce-component": "predictor",
        "ce-endpoint": "default",
        "ce-metadata": '{"X-Weir-Conversation-Id":["c-9"]}',
        "content-type": "application/json",
    } | changes


def kserve_structured(half, data, *, coded=False, **changes):
    """Return a structured event."""
    attributes = {name[3:]: value for name, value in kserve_headers(half, **changes).items() if name.startswith("ce-")}
    if coded:
        return attributes | {"data_base64": base64.b64encode(data).decode()}
    return attributes | {"data": data}


class RunningIntake:
    """An intake in this process; `sent` posts to it, `events` reads the spool."""

    def __init__(self, home, recorder, pairer, app, *, registry, exporter):
        self.home, self.recorder, self.pairer, self.app = home, recorder, pairer, app
        self.registry, self.exporter = registry, exporter

    async def sent(self, path, *, key=KEY, **options):
        transport = httpx.ASGITransport(app=self.app)
        headers = {"authorization": f"Bearer {key}"} | options.pop("headers", {})
        async with httpx.AsyncClient(transport=transport, base_url="http://intake") as client:
            return await client.post(path, headers=headers, **options)

    def events(self, kind=(RequestRecord, ResponseRecord)):
        return spooled(self.home, kind)

    def exchanges(self):
        return exchanges(self.home)

    def only(self):
        """Return the only exchange of the spool."""
        ((_, pair),) = self.exchanges().items()
        return pair

    def count(self, name, **labels):
        return self.registry.get_sample_value(name, labels) or 0


def spooled(home, kind=(RequestRecord, ResponseRecord)):
    found = [event for path in (home / "spool").glob("intake-*") for event in events_of(path)]
    return [event for event in found if isinstance(event.data, kind)]


def exchanges(home):
    """Return {request id: (request, end)} of the spool."""
    requests = {event.data.request_id: event.data for event in spooled(home, RequestRecord)}
    ends = {event.data.request_id: event.data for event in spooled(home, ResponseRecord)}
    assert requests.keys() == ends.keys()
    return {name: (requests[name], ends[name]) for name in requests}


@contextmanager
def intake_component(home, settings):
    """Yield the process of an intake, its address, and the address of its metrics."""
    home.mkdir(exist_ok=True)
    write_keys(home / "keys.json", ("k_1", "acme", KEY, None))
    port = free_port()
    with weir_component("intake", home, settings | {"WEIR_INTAKE__PORT": str(port)}) as (process, metrics):
        for address in (metrics, f"http://127.0.0.1:{port}"):
            until(f"{address} answers", partial(_healthy, process, address))
        yield process, f"http://127.0.0.1:{port}", metrics


def _healthy(process, address):
    assert process.poll() is None
    with suppress(httpx.HTTPError):
        return httpx.get(f"{address}/healthz", timeout=5, verify=False).status_code == 200  # reads no certificates


@asynccontextmanager
async def intake(home: Path, *, capture=None, **settings):
    """Run an intake over `home`."""
    home.mkdir(exist_ok=True)
    others = ("k_2", "other", "weir-other-key", None), ("k_3", "acme", "feedback-key", None, ["feedback"])
    write_keys(keys_path(home), ("k_1", "acme", KEY, None), *others)
    registry, exporter, provider = CollectorRegistry(), InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    limits = IntakeSettings(**settings)
    rejecting = (capture or CaptureSettings()).model_copy(update={"on_full": "reject"})
    with Recorder(root=home / "spool", settings=rejecting, registry=registry, kind="intake") as recorder:
        tracer = provider.get_tracer("test")
        path = home / "intake" / "halves.sqlite"
        with closing(ExchangePairer(path, recorder, EXPECTED, limits, tracer=tracer, registry=registry)) as pairer:
            app = Intake(limits, pairer, KeyRing(keys_path(home)), registry)
            yield RunningIntake(home, recorder, pairer, app, registry=registry, exporter=exporter)


async def kserve(running, half, body, **changes):
    """Send one half of an exchange as KServe's logger does."""
    return await running.sent("/intake/kserve", json=body, headers=kserve_headers(half, **changes))
