"""The stop of the bridge's process, and the proxy of its client."""

import asyncio
from types import SimpleNamespace

import httpx
from prometheus_client import CollectorRegistry

from stream.bridge import service
from stream.bridge.alert_reader import AlertReader
from stream.bridge.firing_alerts import FiringAlerts
from stream.bridge.service import run_bridge
from stream.proxies import proxy_options
from stream.settings import BridgeSettings, KafkaSettings


async def test_the_bridge_stops_while_a_receiver_does_not_answer(monkeypatch):
    monkeypatch.setattr(service, "_STOP_SECONDS", 0.05)
    asked, stop = asyncio.Event(), asyncio.Event()

    async def read(reader, stop):
        reader.alerts = FiringAlerts()
        await stop.wait()

    async def never(*_):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(AlertReader, "run", read)
    monkeypatch.setattr("stream.bridge.alertmanager.AlertmanagerNotifier._post", never)
    due = [SimpleNamespace(labels=(), ends=None)]
    monkeypatch.setattr("stream.bridge.alertmanager_notifications.Notifications.due", lambda *_: due)
    parts = {"kafka": KafkaSettings(bootstrap_servers="127.0.0.1:1"), "registry": CollectorRegistry(), "health": {}}
    bridge = BridgeSettings(alertmanagers=["http://127.0.0.1:1"])
    running = asyncio.create_task(run_bridge(bridge=bridge, stop=stop, **parts))
    await asyncio.wait_for(asked.wait(), 10)
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_receivers_on_this_machine_get_no_proxy_of_the_environment(monkeypatch):
    """The proxy would get the alerts, and a receiver on another machine must not change this."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")
    urls = ["http://127.0.0.1:9093", "http://[::1]:9093", "https://chat.example.com/hook"]
    async with httpx.AsyncClient(**proxy_options(urls)) as client:
        own = [client._transport_for_url(httpx.URL(url)) is client._transport for url in (*urls, "http://10.0.0.7")]
    assert own == [True, True, True, False]
