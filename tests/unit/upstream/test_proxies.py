"""The proxy of the environment, which is used for servers on other machines and never for this machine."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from serving.backend import ModelRequest
from serving.settings import ModelSettings
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_backend import UpstreamBackend

PROXIES = [write(f"{kind}_proxy") for kind in ("http", "https", "all") for write in (str.upper, str.lower)]


def settings(base_url):
    return ModelSettings(engine="upstream", base_url=base_url)


@pytest.mark.parametrize(
    ("base_url", "proxied"),
    [
        ("http://127.0.0.1:8001/v1", False),
        ("http://localhost:11434/v1", False),
        ("http://[::1]:1/v1", False),
        ("https://api.example.com/v1", True),
        ("http://10.0.0.7/v1", True),
    ],
)
async def test_the_proxy_is_not_used_for_this_machine(monkeypatch, base_url, proxied):
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")
        monkeypatch.setenv(name.lower(), "http://proxy.example.com:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    backend = UpstreamBackend("m", settings(base_url), UpstreamMetrics(CollectorRegistry()))
    assert bool(backend._client._mounts) == proxied
    await backend.close()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_requests_to_other_machines_use_a_socks_proxy(monkeypatch, scheme):
    for name in (*PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked = []

    async def proxy(reader, writer):
        """Answer as a proxy of SOCKS 5 (RFC 1928), and as the server behind it."""
        await reader.readexactly(3)  # version, one method, no authentication
        writer.write(b"\x05\x00")
        head = await reader.readexactly(5)  # version, connect, reserved, host name, length of the host name
        asked.append((await reader.readexactly(head[4] + 2))[:-2])
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        backend = UpstreamBackend("m", settings("http://api.example.com/v1"), UpstreamMetrics(CollectorRegistry()))
        answer = await backend._client.get("http://api.example.com/v1/models")
        await backend.close()
    assert (answer.text, asked) == ("{}", [b"api.example.com"])


@pytest.mark.parametrize("status", [407, 502])
async def test_a_proxy_that_rejects_its_credentials_is_reported_as_an_error_of_the_operator(
    monkeypatch, caplog, status
):
    connections = 0

    async def refuse(reader, writer):
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d Refused\r\ncontent-length: 0\r\n\r\n" % status)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        address = f"http://weir:secret@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, address)
        retried = ModelSettings(engine="upstream", base_url="https://api.example.com/v1", upstream_retries=1)
        backend = UpstreamBackend("m", retried, UpstreamMetrics(CollectorRegistry()))
        request = ModelRequest(request_id="1", operation="chat", body={"messages": []})
        (rejected,) = [item async for item in backend.generate(request)]
        await backend.close()
    assert rejected.status == 502
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("serving.upstream")]
    if status == 407:
        assert (rejected.code, connections) == ("upstream_error", 1)
        assert logged == [f"model m: {rejected.message}"]
        assert "HTTPS_PROXY" in rejected.message
    else:
        assert (rejected.code, connections, logged) == ("upstream_unreachable", 2, [])
