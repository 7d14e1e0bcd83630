import http.server
import json
import socket
import threading

import pytest

from weir.local.health.health_probe import probe


@pytest.fixture
def answering():
    """A server whose answer is (status, body)."""

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


@pytest.mark.parametrize(
    ("reasons", "hung", "waiting"),
    [
        ({"stuck": "the loop stands still"}, True, False),
        ({"event loop": "has not turned"}, True, False),
        ({"event_loop": "no heartbeat", "waiting for kafka": "x"}, True, False),
        ({"waiting for kafka": "x"}, False, True),
        ({"waiting for kafka": "x", "serving": "no replica"}, False, False),
        ({}, False, False),
    ],
)
def test_503_is_read_by_its_reasons(answering, reasons, hung, waiting):
    handler, url = answering
    handler.answer = (503, json.dumps(reasons).encode())
    health = probe(url)
    assert (health.ok, health.hung, health.waiting) == (False, hung, waiting)
    assert all(f"{name}: {reason}" in health.detail for name, reason in reasons.items())


def test_200_is_well(answering):
    _, url = answering
    assert probe(url).ok


def test_other_statuses_and_bodies_are_unwell_not_hung(answering):
    handler, url = answering
    handler.answer = (500, b"<html>")
    health = probe(url)
    assert (health.ok, health.hung, health.detail) == (False, False, "it answers 500")


@pytest.mark.parametrize("scheme", ["http", "tcp", "kafka"])
def test_nobody_there_is_no_answer(scheme):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    health = probe(f"{scheme}://127.0.0.1:{port}/healthz", 0.5)
    assert (health.ok, health.hung) == (False, True)
    assert str(port) in health.detail


@pytest.mark.parametrize("scheme", ["http", "kafka"])
def test_a_listener_that_never_answers_is_hung(scheme):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        health = probe(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/healthz", 0.2)
    assert (health.ok, health.hung) == (False, True)


def test_a_listener_suffices_where_only_a_connection_is_asked():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert probe(f"tcp://127.0.0.1:{listening.getsockname()[1]}").ok
