import contextlib
import os
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from weir.home.ports import ensure_ports
from weir.local.health.health_probe import probe
from weir.local.trace_retention import delete_traces

from .conftest import poll

#: Attributes of a span for which MLflow computes the price of the tokens.
GENERATED = {
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.usage.output_tokens": 5,
}


@contextlib.contextmanager
def tracer_to(base):
    provider = TracerProvider()
    headers = {"x-mlflow-experiment-id": "0"}
    exporter = OTLPSpanExporter(endpoint=f"{base}/v1/traces", headers=headers, timeout=60)  # the first span is slow
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("test")
    provider.shutdown()


def name_of(span):
    return f"tr-{span.get_span_context().trace_id:032x}"


def trace(base, trace_id):
    return httpx.get(f"{base}/api/3.0/mlflow/traces/get", params={"trace_id": trace_id})


@pytest.fixture
def proxy():
    """Start a proxy that accepts connections and answers none; yield its address and the list of its connections."""
    calls = []
    with socketserver.TCPServer(("127.0.0.1", 0), lambda *call: calls.append(call)) as server:
        calls_thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        calls_thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", calls
        server.shutdown()
        calls_thread.join()


def test_one_process_on_loopback_stores_the_spans_of_a_trace_and_deletes_old_traces(tmp_path, home, proxy):
    port = ensure_ports(home, ["mlflow"])[0]["mlflow"]
    base = f"http://127.0.0.1:{port}"
    folder = tmp_path / "a?b #%41" / "mlflow"  # characters of URLs
    command = [sys.executable, "-m", "weir.local.mlflow_server", str(folder), str(port), "168"]
    with (tmp_path / "log").open("wb") as log:
        environment = {**os.environ, "HTTPS_PROXY": proxy[0], "NO_PROXY": ""}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        poll(lambda: probe(f"{base}/health").ok, 200)
        hour_ago = time.time() - 3600
        with tracer_to(base) as tracer:
            old = [tracer.start_span("old", start_time=int((hour_ago - number) * 1e9)) for number in (0, 1, 2)]
            for span in old:
                span.end(int(hour_ago * 1e9))
            with (
                tracer.start_as_current_span("first", attributes=GENERATED) as first,
                tracer.start_as_current_span("second"),
            ):
                pass
        answer = trace(base, name_of(first))
        assert {one["name"] for one in answer.json()["trace"]["spans"]} == {"first", "second"}
        with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert [delete_traces(base, hour_ago + 60) for _ in range(2)] == [3, 0]
        assert [trace(base, name_of(span)).status_code for span in (first, *old)] == [200, 404, 404, 404]
        assert proxy[1] == [], "MLflow sent a request to another machine"
        process_info = psutil.Process(process.pid)
        assert process_info.children(recursive=True) == []
        assert {c.laddr.ip for c in process_info.net_connections("inet") if c.status == psutil.CONN_LISTEN} == {
            "127.0.0.1"
        }
    finally:
        process.terminate()
        process.wait(30)
