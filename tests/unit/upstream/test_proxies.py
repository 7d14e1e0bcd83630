"""The proxy of the environment, which is used for servers on other machines and never for this machine."""

import pytest
from prometheus_client import CollectorRegistry

from serving.settings import ModelSettings
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_backend import UpstreamBackend


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
    settings = ModelSettings(engine="upstream", base_url=base_url)
    backend = UpstreamBackend("m", settings, UpstreamMetrics(CollectorRegistry()))
    assert bool(backend._client._mounts) == proxied
    await backend.close()
