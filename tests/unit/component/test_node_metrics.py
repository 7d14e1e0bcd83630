"""Metrics of the other processes of a node at the port of `serve`."""

import contextlib
import socket
import struct
import threading

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from serving.metrics_targets import MetricsTarget
from stream.telemetry import MOST_CONNECTIONS, STALLED, MetricsServer
from weir.component.node_metrics import NodeMetrics
from weir.local.health.health_probe import probe


@contextlib.contextmanager
def served(name, **more):
    registry = CollectorRegistry()
    Counter("weir_told", "", ["by"], registry=registry).labels(name).inc()
    server = MetricsServer(registry, 0, **more).start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def door():
    known = []
    with served("gateway") as gateway, served("serve", pages=NodeMetrics(lambda: known).page) as serve:
        known.append(MetricsTarget(name="gateway-a1", component="gateway", address=f"127.0.0.1:{gateway.port}", pid=1))
        with httpx.Client(base_url=f"http://127.0.0.1:{serve.port}", trust_env=False) as client:
            yield client, known


def test_a_scraper_that_follows_the_targets_reaches_every_process(door):
    client, _ = door
    (group,) = client.get("/targets", headers={"host": "serving:9464"}).json()
    assert group["targets"] == ["serving:9464"]
    assert {key: group["labels"][key] for key in ("job", "component", "process")} == {
        "job": "weir",
        "component": "gateway",
        "process": "gateway-a1",
    }
    assert 'weir_told_total{by="gateway"} 1.0' in client.get(group["labels"]["__metrics_path__"]).text
    assert 'weir_told_total{by="serve"} 1.0' in client.get("/metrics").text


def test_many_idle_connections_are_closed_oldest_first_and_prevent_no_health_check():
    with served("score") as server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        idle = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(3 * MOST_CONNECTIONS)]
        assert probe(f"http://127.0.0.1:{server.port}/healthz").ok
        assert {one.recv(1) for one in idle[: 2 * MOST_CONNECTIONS]} == {b""}
        idle[-1].sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert idle[-1].recv(12) == b"HTTP/1.0 200"


def test_metrics_and_health_on_an_ipv6_address():
    with served("score", host="::1") as server:
        address = f"http://[::1]:{server.port}"
        assert probe(f"{address}/healthz").ok
        assert "weir_told_total" in httpx.get(f"{address}/metrics", trust_env=False).text


def test_a_process_that_has_ended_has_no_target_and_no_page(door):
    client, known = door
    known.clear()
    assert client.get("/targets").json() == []
    assert client.get("/metrics/gateway-a1").status_code == 404


def test_an_unknown_target_is_not_found(door):
    client, _ = door
    for path in ("/metrics/127.0.0.1:22", "/metrics/gateway-a1/", "/metrics/"):
        assert client.get(path).status_code == 404


def test_a_target_that_does_not_answer_is_a_failed_scrape(door):
    client, known = door
    with served("brief") as brief:
        port = brief.port
    known[:] = [MetricsTarget(name="brief", component="model", address=f"127.0.0.1:{port}", pid=1)]
    assert client.get("/metrics/brief").status_code == 502


def test_a_process_other_than_serve_has_no_list_of_targets():
    with served("shipper") as one:
        answer = httpx.get(f"http://127.0.0.1:{one.port}/targets", trust_env=False)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("reasons", "status"),
    [({}, 200), ({"waiting for kafka": "no answer"}, 200), ({STALLED: "20 s", "waiting for kafka": "no answer"}, 503)],
)
def test_a_process_is_alive_unless_its_event_loop_stalls(reasons, status):
    """The process is ready again when Kafka is back, without a restart."""
    with served("delivery", health=lambda: reasons) as one:
        pages = {
            path: httpx.get(f"http://127.0.0.1:{one.port}/{path}", trust_env=False) for path in ("livez", "healthz")
        }
    assert pages["livez"].status_code == status
    assert pages["healthz"].status_code == (503 if reasons else 200)


def test_a_scraper_that_disconnects_causes_no_traceback(capfd):
    with served("serve") as server:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as scraper:
                scraper.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset at close
                scraper.sendall(b"GET /metrics HTTP/1.0\r\n\r\n" * 50)
        assert httpx.get(f"http://127.0.0.1:{server.port}/healthz", trust_env=False).status_code == 200
        for thread in threading.enumerate():
            if "process_request_thread" in thread.name:
                thread.join(10)
    assert "Traceback" not in capfd.readouterr().err


def test_a_connection_that_sends_nothing_is_closed(monkeypatch):
    monkeypatch.setattr("stream.telemetry._IDLE_SECONDS", 0.01)
    with served("serve") as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as silent:
        assert silent.recv(1) == b""
