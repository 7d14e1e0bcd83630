"""The Collector alone, with the configuration of deploy/: which traces it keeps."""

import json
import secrets
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.gobuilds import collector
from support.otlp import JSON, encoded, span, traces
from support.programs import served
from support.receiver import receiver
from support.stack import free_port, until

#: The first run builds the Collector.
pytestmark = pytest.mark.timeout(2700)

CONFIG = Path(__file__).parents[2] / "deploy" / "collector" / "config.yaml"
SERVER, CLIENT, PRODUCER = 2, 3, 4
TRACES = 30


@pytest.fixture
def running(tmp_path):
    """Yield two addresses of the Collector, for OTLP and for metrics, and the receiver of the spans that it keeps."""
    port, metrics = free_port(), free_port()
    with receiver() as kept:
        changed = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {
                "otlphttp/jaeger": {"endpoint": kept.url, "compression": "none"},
                "otlphttp/mlflow": {"traces_endpoint": kept.url, "compression": "none"},
            },
            "service": {
                "telemetry": {
                    "metrics": {
                        "readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": metrics}}}}]
                    }
                }
            },
        }
        override = tmp_path / "override.yaml"
        override.write_text(json.dumps(changed))
        command = ["env", "WEIR_DECISION_WAIT=2s", collector(), f"--config={CONFIG}", f"--config={override}"]
        process = served(command, f"http://127.0.0.1:{metrics}/metrics", tmp_path / "collector.log")
        try:
            yield f"http://127.0.0.1:{port}/v1/traces", f"http://127.0.0.1:{metrics}/metrics", kept
        finally:
            process.terminate()
            process.wait(30)


def send(address, *spans):
    headers = {"content-type": JSON}
    httpx.post(address, content=encoded(traces(*spans), JSON), headers=headers, timeout=30).raise_for_status()


def of_trace(trace_id, name, kind, attributes, **changes):
    return span(attributes, span_id=secrets.token_hex(8), traceId=trace_id, name=name, kind=kind, **changes)


def ends(trace_id, **changes):
    """Return the spans of a gateway, which it exports when a request ends."""
    chat = of_trace(trace_id, "chat m", CLIENT, {"gen_ai.operation.name": "chat"}, **changes)
    return [chat, of_trace(trace_id, "POST /v1/chat/completions", SERVER, {}, **changes)]


def decided(metrics):
    lines = [line for line in httpx.get(metrics, timeout=30).text.splitlines() if "count_traces_sampled" in line]
    return sum(float(line.split()[-1]) for line in lines if line.startswith("otelcol_processor_tail_sampling_global_"))


def kept_ends(kept):
    """Return the ids of the kept traces with the span of an ended request."""
    exports = [ExportTraceServiceRequest.FromString(request.body) for request in list(kept.seen)]
    scopes = [scope for export in exports for resource in export.resource_spans for scope in resource.scope_spans]
    return {one.trace_id.hex() for scope in scopes for one in scope.spans if one.name.startswith("POST")}


def test_a_request_that_ends_after_the_decision_is_kept(running):
    address, metrics, kept = running
    slow, quick = ([secrets.token_hex(16) for _ in range(TRACES)] for _ in range(2))
    for trace_id in slow + quick:
        send(address, of_trace(trace_id, "send weir.inference", PRODUCER, {}))
    for trace_id in quick:
        send(address, *ends(trace_id))
    until("a decision on every trace", lambda: decided(metrics) == 2 * TRACES, 120)
    for trace_id in slow:
        send(address, *ends(trace_id, status={"code": 2}))
    until("every slow request is kept", lambda: kept_ends(kept) >= set(slow), 60)
    assert len(kept_ends(kept) & set(quick)) < TRACES
