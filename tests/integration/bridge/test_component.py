"""The component as the supervisor starts it: its settings, its health, and what a kill and a start do to what it tells."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.alert_records import alert, event, now, resolved
from support.bridges import SECRET
from support.kafka_log import fresh_topics, sender, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@contextlib.contextmanager
def component(home, kafka, manager, hook):
    """Start ``weir.component bridge``; ends with SIGKILL where the block did not end it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    settings = {
        "WEIR_HOME": str(home),
        "WEIR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "WEIR_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "WEIR_MLFLOW__ENABLED": "false",
        "WEIR_BRIDGE__ALERTMANAGERS": json.dumps([manager.url]),
        "WEIR_BRIDGE__WEBHOOKS__HOOK__URL": hook.url,
        "WEIR_BRIDGE__WEBHOOKS__HOOK__SECRET": SECRET,
    }
    process = subprocess.Popen([sys.executable, "-m", "weir.component", "bridge"], env=clean | settings, cwd=Path.cwd())
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def metrics(home):
    try:
        port = json.loads((home / "ports.json").read_text())["bridge"]
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    except (OSError, httpx.HTTPError):
        return ""


def told(hook):
    """Return the ids that the webhook took; Alertmanager tells the same receiver, without a signature."""
    return [one.headers["webhook-id"] for one in hook.taken if "webhook-id" in one.headers]


async def test_what_happens_while_it_is_killed_is_told_when_it_is_back(apache_broker, tmp_path, manager, hook):
    kafka = await fresh_topics(apache_broker.bootstrap)
    reading = 'weir_bridge_webhook_reading{target="hook"} 1.0'
    async with sender(kafka) as to:
        with component(tmp_path / "home", kafka, manager, hook) as process:
            await until("it reads", lambda: process.poll() is None and reading in metrics(tmp_path / "home"))
            await to.send(kafka.names.alerts, event(alert(**now())))
            await until("both are told", lambda: told(hook) and manager.alerts(detector="pii"))
            process.kill()
        await to.send(kafka.names.alerts, event(resolved(**now())))
        await to.send(kafka.names.alerts, event(alert("al_2", detector="toxicity", **now())))
        with component(tmp_path / "home", kafka, manager, hook) as process:
            await until("the webhook hears of both", lambda: len(told(hook)) == 3)
            await until("the alert ends", lambda: not manager.alerts(detector="pii"))
            await until("the other fires", lambda: manager.alerts(detector="toxicity"))
            process.terminate()
            assert process.wait(30) == 0
    assert told(hook) == ["al_1.firing.warning", "al_1.resolved.warning", "al_2.firing.warning"]
