"""The requests to a target of the bridge."""

import asyncio
from contextlib import suppress

import httpx
import pytest
from prometheus_client import CollectorRegistry
from support.certificates import own_certificate

from stream.bridge import notification_target
from stream.bridge.metrics import BridgeMetrics
from stream.bridge.notification_target import NotificationTarget


async def test_a_target_that_sends_an_answer_without_an_end_is_down(monkeypatch):
    """The address of a stream of events, for example: the time limit of a read passes at none of its bytes."""
    monkeypatch.setattr(notification_target, "_ANSWER_SECONDS", 0.3)

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"1\r\n.\r\n")
                await writer.drain()
                await asyncio.sleep(0)

    health = {}
    async with await asyncio.start_server(stream, "127.0.0.1", 0) as server, httpx.AsyncClient(timeout=15) as client:
        host, port = server.sockets[0].getsockname()
        metrics = BridgeMetrics(CollectorRegistry())
        target = NotificationTarget("webhook", "pager", client, longest_seconds=1.0, metrics=metrics, health=health)
        assert not await asyncio.wait_for(target.post(f"http://{host}:{port}", "al_1", content=b"{}"), 10)
    assert health == {"waiting for webhook pager": "it does not answer (TimeoutError)"}


async def test_an_answer_in_an_encoding_that_is_none_of_text_is_shown():
    health = {}
    answer = httpx.Response(502, content=b"no host \xff", headers={"content-type": "text/plain; charset=hex"})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as client:
        metrics = BridgeMetrics(CollectorRegistry())
        target = NotificationTarget("alertmanager", "am", client, longest_seconds=1.0, metrics=metrics, health=health)
        assert not await target.post("http://am", "alerts", show_answer=True, json=[])
    assert health == {"waiting for alertmanager am": "it answers 502: no host \N{REPLACEMENT CHARACTER}"}


@pytest.mark.parametrize("status", [200, 502])
async def test_the_memory_for_an_answer_is_limited(monkeypatch, status):
    """A receiver of another company could end the bridge, and so all notifications: 1 MB of gzip can have 1 GB."""
    monkeypatch.setattr(notification_target, "_ANSWER_BYTES", 1000)
    sent = []

    async def pieces():
        for _ in range(1000):
            sent.append(100)
            yield b"a" * 100

    async def never():
        raise AssertionError("a compressed answer is read")
        yield b""

    answers = [
        httpx.Response(status, content=pieces()),
        httpx.Response(status, content=never(), headers={"content-encoding": "gzip"}),
    ]
    health = {}
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answers.pop(0))) as client:
        metrics = BridgeMetrics(CollectorRegistry())
        target = NotificationTarget("alertmanager", "am", client, longest_seconds=1.0, metrics=metrics, health=health)
        for read in (1100, 1100):
            assert await target.post("http://am", "alerts", show_answer=True, json=[]) is (status == 200)
            assert sum(sent) == read
    shown = {} if status == 200 else {"waiting for alertmanager am": "it answers 502"}
    assert health == shown


async def test_a_certificate_that_weir_cannot_verify_is_the_reason_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    _, context = own_certificate(tmp_path)
    health = {}

    async def ignore(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0, ssl=context) as server, httpx.AsyncClient() as client:
        host, port = server.sockets[0].getsockname()
        metrics = BridgeMetrics(CollectorRegistry())
        target = NotificationTarget("webhook", "pager", client, longest_seconds=1.0, metrics=metrics, health=health)
        assert not await target.post(f"https://{host}:{port}", "al_1", content=b"{}")
    (reason,) = health.values()
    assert "certificate cannot be verified" in reason
    assert "SSL_CERT_FILE" in reason
