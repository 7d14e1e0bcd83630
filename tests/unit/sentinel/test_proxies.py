"""Requests to the endpoint, which is on this machine, never use the proxy of the environment: it would get the API keys."""

import pytest
from prometheus_client import CollectorRegistry
from support.receiver import receiver

from weir.demo.traffic import Traffic
from weir.sentinel.client import SentinelClient
from weir.sentinel.prompts import PROMPTS

ENDPOINT = "http://127.0.0.1:9/v1"


@pytest.fixture
def proxy(monkeypatch):
    with receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield proxy


async def test_the_proxy_gets_no_sentinel(proxy):
    client = SentinelClient(ENDPOINT, "m", "weir-key", every_seconds=1, max_tokens=1, registry=CollectorRegistry())
    async with client._client:
        assert await client.send(PROMPTS[0]) == "unreachable"
    assert proxy.seen == []


async def test_the_proxy_gets_no_request_of_the_demo(proxy):
    traffic = Traffic(ENDPOINT, "m", ["weir-key"])
    await traffic.send(["Hello"], lambda _answer: None)
    await traffic.close()
    assert [answer.status for answer in traffic.answers] == [0]
    assert proxy.seen == []
