import http.server
import json
import socket
import threading

import pytest
from support.cases import cases

from stream.telemetry import STALLED
from weir.local.health.health_probe import probe

CASES = cases(__file__)


@pytest.fixture
def answering():
    """A server that answers with (status, body)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        answer = (200, b"")

        def do_GET(self):
            status, body = type(self).answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Handler, f"http://127.0.0.1:{server.server_port}/healthz"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def listening():
    """A port on which the kernel accepts connections and no process answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("reasons", "hung", "waiting"), [*CASES["reasons"], ({STALLED: "20 s"}, True, False)])
def test_the_reasons_of_a_503_decide_its_health(answering, reasons, hung, waiting):
    handler, url = answering
    handler.answer = (503, json.dumps(reasons).encode())
    health = probe(url)
    assert (health.ok, health.hung, health.waiting) == (False, hung, waiting)
    assert all(f"{name}: {reason}" in health.detail for name, reason in reasons.items())


def test_200_is_healthy(answering):
    _, url = answering
    assert probe(url).ok


def test_another_status_and_body_is_unhealthy_and_not_hung(answering):
    handler, url = answering
    handler.answer = (500, b"<html>")
    health = probe(url)
    assert (health.ok, health.hung) == (False, False)
    assert "500" in health.detail


@pytest.mark.parametrize("scheme", ["http", "tcp", "kafka"])
def test_a_port_without_a_listener_is_hung(scheme):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    health = probe(f"{scheme}://127.0.0.1:{port}/healthz", 0.5)
    assert (health.ok, health.hung) == (False, True)
    assert str(port) in health.detail


@pytest.mark.parametrize("scheme", ["http", "kafka"])
def test_a_listener_that_never_answers_is_hung(listening, scheme):
    health = probe(f"{scheme}://127.0.0.1:{listening}/healthz", 0.2)
    assert (health.ok, health.hung) == (False, True)


def test_for_a_tcp_check_a_listening_port_is_healthy(listening):
    assert probe(f"tcp://127.0.0.1:{listening}").ok
