import subprocess
import sys

import httpx
import psutil
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from weir.home.ports import ensure_ports
from weir.local.health.health_probe import probe

from .conftest import poll


def test_one_process_on_loopback_stores_the_spans_of_a_trace(tmp_path, home):
    port = ensure_ports(home, ["mlflow"])[0]["mlflow"]
    base = f"http://127.0.0.1:{port}"
    folder = tmp_path / "a?b #%41" / "mlflow"  # characters of URLs
    command = [sys.executable, "-m", "weir.local.mlflow_server", str(folder), str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        poll(lambda: probe(f"{base}/health").ok, 200)
        provider = TracerProvider()
        exporter = OTLPSpanExporter(endpoint=f"{base}/v1/traces", headers={"x-mlflow-experiment-id": "0"})
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("first") as span:
            trace_id = f"tr-{span.get_span_context().trace_id:032x}"
            with tracer.start_as_current_span("second"):
                pass
        provider.shutdown()
        answer = httpx.get(f"{base}/api/3.0/mlflow/traces/get", params={"trace_id": trace_id})
        assert {one["name"] for one in answer.json()["trace"]["spans"]} == {"first", "second"}
        assert (folder / "mlflow.db").stat().st_size > 0
        process_info = psutil.Process(process.pid)
        assert process_info.children(recursive=True) == []
        assert {c.laddr.ip for c in process_info.net_connections("inet") if c.status == psutil.CONN_LISTEN} == {
            "127.0.0.1"
        }
    finally:
        process.terminate()
        process.wait(30)
