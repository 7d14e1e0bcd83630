"""The set-up and the end of a component's process."""

import threading

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry

from weir.component.process import Process, _reasons, running
from weir.settings import Settings


def test_a_process_ends_although_the_trace_store_takes_no_span(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    release, flushed = threading.Event(), threading.Event()

    class Retrying(SpanProcessor):
        def shutdown(self):
            release.wait(30)  # as long as the processor of OpenTelemetry
            flushed.set()

    with running("ledger") as process:
        process.tracer.add_span_processor(Retrying())
    assert not flushed.is_set()
    release.set()
    assert flushed.wait(30), "the thread of the shutdown ends"


def test_the_health_of_a_process_can_change_while_it_is_read():
    health = {}

    class Name(str):
        __slots__ = ()

        def startswith(self, *arguments):
            health["waiting for kafka"] = "no answer"  # as the event loop's thread
            return super().startswith(*arguments)

    health[Name("start")] = "loading"
    process = Process(
        name="bridge", settings=Settings(), ports={}, registry=CollectorRegistry(), tracer=NoOpTracerProvider()
    )
    process.health = health
    assert _reasons(process) == {"start": "loading"}
    assert _reasons(process).keys() == {"start", "waiting for kafka"}
