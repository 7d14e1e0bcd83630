"""Connections of the real server: incomplete requests are closed, and one address cannot use all connections."""

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support.gateway import KEY, write_keys
from support.intake import EXPECTED, litellm_payload
from support.stack import free_port

from serving import http
from serving.intake.server import run_intake
from serving.settings import CaptureSettings, IntakeSettings

HALF = b"GET /healthz HTTP/1.1\r\nhost: weir\r\n"
WHOLE = HALF + b"\r\n"
LAST = HALF + b"connection: close\r\n\r\n"


class Server:
    """A running intake; a test connects to it from chosen loopback addresses."""

    def __init__(self, port: int, stack: contextlib.ExitStack) -> None:
        self._port = port
        self._stack = stack

    async def connected(self, source: str, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection that has sent `data`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))
        self._stack.callback(writer.close)
        writer.write(data)
        return reader, writer

    async def asked(self, source: str, data: bytes = LAST) -> tuple[int, dict[str, str], dict]:
        reader, _ = await self.connected(source, data)
        return await answer(reader)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], dict]:
    """Return (status, headers, body) of what the server sends until it closes the connection; status 0 if it sends nothing."""
    async with asyncio.timeout(20):
        received = await reader.read()
    if not received:
        return 0, {}, {}
    head, _, body = received.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
    return int(status.split()[1]), named, json.loads(body)


@asynccontextmanager
async def running(tmp_path, **settings):
    port = free_port()
    write_keys(tmp_path / "keys.json", ("k_1", "acme", KEY, None))
    stop = asyncio.Event()
    limits = {"settings": IntakeSettings(port=port, **settings), "capture": CaptureSettings()}
    telemetry = {"registry": CollectorRegistry(), "tracer_provider": TracerProvider()}
    running = run_intake(home=tmp_path, expected=EXPECTED, stop=stop, health={}, **limits, **telemetry)
    task = asyncio.create_task(running)
    with contextlib.ExitStack() as stack:
        server = Server(port, stack)
        await until_answered(server, "127.0.0.1")
        yield server
    stop.set()
    await task


async def until_answered(server: Server, source: str) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                if (await server.asked(source))[0] == 200:
                    return
            await asyncio.sleep(0.01)


def code_of(headers: dict[str, str], body: dict) -> str:
    assert headers["content-type"] == "application/json"
    assert len(headers["x-request-id"]) == 36
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (body["error"]["type"] == "rate_limit_error") == (body["error"]["message"].startswith("Your address"))
    return body["error"]["code"]


async def test_a_request_whose_headers_are_late_is_408_and_its_connection_is_closed(tmp_path):
    async with running(tmp_path, header_seconds=0.3) as server:
        half, _ = await server.connected("127.0.0.2", HALF)
        silent, _ = await server.connected("127.0.0.2", b"")
        second, writer = await server.connected("127.0.0.2", WHOLE)
        await second.readuntil(b'"ok"}')
        writer.write(HALF)
        for reader in (half, second):
            status, headers, body = await answer(reader)
            assert (status, code_of(headers, body)) == (408, "request_timeout")
        assert (await answer(silent))[0] == 0
        assert (await server.asked("127.0.0.2"))[0] == 200


async def test_the_connection_of_an_unread_body_is_closed(tmp_path):
    """After a response before the end of the body, such as 401, the client must not send the body without limit."""
    async with running(tmp_path, header_seconds=0.3) as server:
        head = b"POST /intake/litellm HTTP/1.1\r\nhost: weir\r\ncontent-length: 1000000\r\n\r\n"
        reader, writer = await server.connected("127.0.0.2", head)
        await reader.readuntil(b" 401 ")
        async with asyncio.timeout(20):
            while not reader.at_eof():
                with contextlib.suppress(TimeoutError, ConnectionError):
                    writer.write(b"x")
                    await asyncio.wait_for(reader.read(65_536), 0.05)


async def test_a_request_that_is_in_progress_has_no_deadline_for_headers(tmp_path):
    payload = json.dumps([litellm_payload()]).encode()
    head = (
        f"POST /intake/litellm HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
        f"content-length: {len(payload)}\r\n\r\n"
    )
    async with running(tmp_path, header_seconds=0.2) as server:
        reader, writer = await server.connected("127.0.0.2", head.encode() + payload[:10])
        other, _ = await server.connected("127.0.0.2", HALF)
        assert (await answer(other))[0] == 408, "the header deadline of both requests has passed"
        writer.write(payload[10:])
        assert (await answer(reader))[0] == 200


async def test_an_address_with_too_many_connections_is_429_and_others_are_served(tmp_path):
    async with running(tmp_path, connections_per_address=4, header_seconds=60) as server:
        held = [await server.connected("127.0.0.2", HALF) for _ in range(4)]
        for data in (LAST, b""):
            status, headers, body = await server.asked("127.0.0.2", data)
            assert (status, code_of(headers, body), headers["retry-after"]) == (429, "too_many_connections", "1")
            assert "4 connections" in body["error"]["message"]
        assert (await server.asked("127.0.0.3"))[0] == 200
        held[0][1].close()
        await until_answered(server, "127.0.0.2")


async def test_more_connections_than_the_total_limit_are_503(tmp_path):
    async with running(tmp_path, connections=4, header_seconds=60) as server:
        held = [await server.connected(f"127.0.0.{number}", HALF) for number in range(2, 6)]
        status, headers, body = await server.asked("127.0.0.9")
        assert (status, code_of(headers, body), headers["retry-after"]) == (503, "too_many_connections", "1")
        held[0][1].close()
        await until_answered(server, "127.0.0.9")


async def test_an_upgrade_is_answered_as_a_request_and_its_connection_counted_as_closed(tmp_path):
    request = HALF + b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n"
    async with running(tmp_path, connections_per_address=2) as server:
        for _ in range(4):
            assert (await server.asked("127.0.0.2", request))[0] == 200


@pytest.mark.parametrize("path", ["/intake/litellm", "/v1/traces"])
@pytest.mark.parametrize("body", [b"", b"[]"])
async def test_a_client_that_reads_nothing_of_its_answer_raises_no_error_in_the_server(
    running, monkeypatch, path, body
):
    """An empty body is a valid export of OTLP and no valid log, and the other way round."""
    monkeypatch.setattr(http, "SEND_SECONDS", 0.05)
    headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/x-protobuf")]
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message["type"])
        await asyncio.Event().wait()

    await running.app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
    assert sent == ["http.response.start"], "no more is sent"
