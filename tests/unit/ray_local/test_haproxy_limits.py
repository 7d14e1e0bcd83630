"""Limits of the real HAProxy behind the wrapper: incomplete requests of one address do not block other addresses."""

import contextlib
import json
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support.stack import free_port

from serving.ray_local.layout import PORT_NAMES, RayLayout, short_run_dir
from serving.settings import HttpSettings

ALLOWED = 8
MAX_CONNECTIONS = 100
REQUEST = b"GET /v1/models HTTP/1.1\r\nhost: weir\r\n"
WHOLE = REQUEST + b"\r\n"
CONFIG = Path(__file__).with_name("limits.cfg").read_text()


class Edge:
    """A running HAProxy; a test connects to it from chosen loopback addresses."""

    def __init__(self, port: int, metrics_port: int, stack: contextlib.ExitStack) -> None:
        self.port = port
        self.metrics_port = metrics_port
        self._stack = stack

    def connected(self, source: str, data: bytes = b"") -> socket.socket:
        """Return a connection that has sent `data`."""
        connection = self._socket(source)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(data)
        return connection

    def flood(self, source: str, data: bytes, port: int) -> None:
        """Open twice as many connections as HAProxy accepts, and send `data` on each, also on closed connections."""
        for _ in range(2 * MAX_CONNECTIONS):
            connection = self._socket(source)
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            with contextlib.suppress(OSError):
                connection.send(data)

    def _socket(self, source: str) -> socket.socket:
        connection = self._stack.enter_context(socket.socket())
        connection.settimeout(20)
        connection.bind((source, 0))
        return connection

    def answer(self, connection: socket.socket) -> tuple[str, dict[str, str], bytes]:
        """Return (status line, headers, body) of what HAProxy sends until it closes the connection; "" if it sends nothing."""
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65_536):
                received += data
        head, _, body = received.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        return status, {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in headers)}, body

    def asked(self, source: str) -> str:
        """Return the status line of a request that asks to close its connection."""
        return self.answer(self.connected(source, REQUEST + b"connection: close\r\n\r\n"))[0]


def started(stack: contextlib.ExitStack, tmp_path, *, text: str = CONFIG, **http) -> Edge:
    """Run the program that Ray runs as HAProxy, with a configuration like Ray's."""
    run_dir = short_run_dir(tmp_path)
    stack.callback(subprocess.run, ["rm", "-rf", str(run_dir)], check=True)
    ports = {name: free_port() for name in [*PORT_NAMES, "http"]}
    RayLayout(run_dir, ports, http=HttpSettings(**http)).prepare()
    config = tmp_path / "haproxy.cfg"
    config.write_text(text.format(maxconn=MAX_CONNECTIONS, **ports))
    command = [str(run_dir / "haproxy-edge"), "-db", "-f", str(config)]
    process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE))
    stack.callback(process.kill)
    edge = Edge(ports["http"], ports["ray_haproxy_metrics"], stack)
    deadline = time.monotonic() + 20
    while not accepts(edge.port):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "HAProxy does not listen"
    return edge


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("half", [REQUEST, b"PUT / HTTP/1.1\r\nhost: weir\r\ncontent-length: 9\r\n\r\nhalf", b""])
def test_incomplete_requests_of_one_address_do_not_block_another(stack, tmp_path, half):
    edge = started(stack, tmp_path, connections_per_address=ALLOWED, header_seconds=60)
    edge.flood("127.0.0.2", half, edge.port)
    assert edge.asked("127.0.0.3") == "HTTP/1.1 200 OK"


def test_an_address_with_too_many_connections_is_answered_429_until_it_closes_some(stack, tmp_path):
    edge = started(stack, tmp_path, connections_per_address=ALLOWED, header_seconds=60)
    held = [edge.connected("127.0.0.2", REQUEST) for _ in range(ALLOWED)]
    status, headers, body = edge.answer(edge.connected("127.0.0.2", WHOLE))
    assert status == "HTTP/1.1 429 Too Many Requests"
    assert len(headers.pop("x-request-id")) == 36
    wanted = {"content-type": "application/json", "retry-after": "1", "connection": "close"}
    assert wanted.items() <= headers.items()
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "too_many_connections"
    assert str(ALLOWED) in error["message"]
    held.pop().close()
    deadline = time.monotonic() + 20
    while (status := edge.asked("127.0.0.2")) != "HTTP/1.1 200 OK":
        assert time.monotonic() < deadline, status
    for connection in held:  # the connections that were open before are served
        connection.sendall(b"connection: close\r\n\r\n")
        assert edge.answer(connection)[0] == "HTTP/1.1 200 OK"


def test_a_request_whose_headers_are_late_is_408_and_its_connection_is_closed(stack, tmp_path):
    edge = started(stack, tmp_path, header_seconds=0.5)
    silent, half = edge.connected("127.0.0.2"), edge.connected("127.0.0.2", REQUEST)
    assert edge.answer(half)[0].startswith("HTTP/1.1 408 ")
    assert edge.answer(silent) == ("", {}, b"")
    second = edge.connected("127.0.0.2", WHOLE)
    assert second.recv(65_536).startswith(b"HTTP/1.1 200 ")
    second.sendall(REQUEST)
    assert edge.answer(second)[0].startswith("HTTP/1.1 408 ")


def test_incomplete_requests_for_metrics_do_not_block_the_endpoint(stack, tmp_path):
    edge = started(stack, tmp_path, header_seconds=60)
    edge.flood("127.0.0.2", REQUEST, edge.metrics_port)
    assert edge.asked("127.0.0.2") == "HTTP/1.1 200 OK"


def test_a_request_before_the_application_is_deployed_is_503_which_clients_repeat(stack, tmp_path):
    edge = started(stack, tmp_path, text=CONFIG.replace("    use_backend app if is_app\n", ""))
    status, headers, body = edge.answer(edge.connected("127.0.0.2", WHOLE))
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert len(headers.pop("x-request-id")) == 36
    assert {"content-type": "application/json", "retry-after": "2", "connection": "close"}.items() <= headers.items()
    assert json.loads(body)["error"]["code"] == "gateway_unavailable"


@pytest.mark.parametrize(
    ("request_line", "wanted", "code"),
    [
        (b"OPTIONS *", "HTTP/1.1 200 OK", None),
        (b"GET *", "HTTP/1.1 400 Bad Request", "invalid_path"),
        (b"GET v1/models", "HTTP/1.1 400 Bad Request", "invalid_path"),
    ],
)
def test_a_request_without_a_path_is_not_an_unavailable_gateway(stack, tmp_path, request_line, wanted, code):
    edge = started(stack, tmp_path)
    whole = request_line + b" HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n"
    status, headers, body = edge.answer(edge.connected("127.0.0.2", whole))
    assert status == wanted
    assert len(headers["x-request-id"]) == 36
    assert (json.loads(body)["error"]["code"] if body else None) == code
    assert headers.get("allow") == (None if code else "GET, HEAD, POST")
