"""The stop of the bridge's process."""

import asyncio
from types import SimpleNamespace

from prometheus_client import CollectorRegistry

from stream.bridge import service
from stream.bridge.alert_reader import AlertReader
from stream.bridge.firing_alerts import FiringAlerts
from stream.bridge.service import run_bridge
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
