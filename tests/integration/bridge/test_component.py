"""The bridge as the supervisor starts it: settings, health, and notifications after a kill and a restart."""

import base64
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
from support.receiver import receiver

pytestmark = pytest.mark.kafka


@contextlib.contextmanager
def component(home, kafka, manager, hook, log=None):
    """Start ``weir.component bridge`` with its log in `log`; kill it after the block if it still runs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    settings = {
        "WEIR_HOME": str(home),
        "WEIR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "WEIR_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "WEIR_MLFLOW__ENABLED": "false",
        "WEIR_TRACE__VIEW": "http://jaeger/trace/{trace_id}",
        "WEIR_BRIDGE__ALERTMANAGERS": json.dumps([manager.url]),
        "WEIR_BRIDGE__WEBHOOKS__HOOK__URL": hook.url,
        "WEIR_BRIDGE__WEBHOOKS__HOOK__SECRET": SECRET,
    }
    command = [sys.executable, "-m", "weir.component", "bridge"]
    process = subprocess.Popen(command, env=clean | settings, cwd=Path.cwd(), stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def page(home, path):
    try:
        port = json.loads((home / "ports.json").read_text())["bridge"]
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5, verify=False)  # reads no certificates
    except (OSError, httpx.HTTPError):
        return httpx.Response(0, text="")


def metrics(home):
    return page(home, "/metrics").text


def delivered(hook):
    """Return the ids that the webhook accepted; Alertmanager notifies the same receiver without an id."""
    return [one.headers["webhook-id"] for one in hook.accepted if "webhook-id" in one.headers]


async def test_alerts_are_delivered_after_a_restart_of_a_killed_bridge(apache_broker, tmp_path, manager, hook):
    kafka = await fresh_topics(apache_broker.bootstrap)
    reading = 'weir_bridge_webhook_reading{target="hook"} 1.0'
    async with sender(kafka) as to:
        with component(tmp_path / "home", kafka, manager, hook) as process:
            await until("the webhook reads", lambda: process.poll() is None and reading in metrics(tmp_path / "home"))
            await to.send(kafka.names.alerts, event(alert(**now())))
            await until("both targets are notified", lambda: delivered(hook) and manager.alerts(detector="pii"))
            process.kill()
        await to.send(kafka.names.alerts, event(resolved(**now())))
        await to.send(kafka.names.alerts, event(alert("al_2", detector="toxicity", **now())))
        with component(tmp_path / "home", kafka, manager, hook) as process:
            await until("the webhook has both", lambda: len(delivered(hook)) == 3)
            await until("the alert ends", lambda: not manager.alerts(detector="pii"))
            (other,) = await until("the other alert fires", lambda: manager.alerts(detector="toxicity"))
            assert other["generatorURL"] == f"http://jaeger/trace/{'ab' * 16}"
            process.terminate()
            assert process.wait(30) == 0
    assert delivered(hook) == ["al_1.firing.warning", "al_1.resolved.warning", "al_2.firing.warning"]


def with_user(url):
    """Return `url` with a user and a password, and the header for them."""
    sent = base64.b64encode(b"weir:hunter2@").decode()
    return url.replace("http://", "http://weir:hunter2%40@"), f"Basic {sent}"


async def test_the_health_names_the_failing_targets_and_no_output_has_a_password(apache_broker, tmp_path):
    kafka = await fresh_topics(apache_broker.bootstrap)
    home, reading = tmp_path / "home", 'weir_bridge_webhook_reading{target="hook"} 1.0'
    with receiver() as manager, receiver() as hook, (tmp_path / "log").open("w+") as log:
        manager.answers, hook.answers = [503] * 1000, [500] * 1000
        base, shown = manager.url.removesuffix("/hook"), []
        (manager.url, sent), (hook.url, _) = with_user(base), with_user(hook.url)

        def health():
            found = page(home, "/healthz")
            shown.append(found.text)
            return found.status_code, set(found.json() if found.text else ())

        async with sender(kafka) as to:
            with component(home, kafka, manager, hook, log) as process:
                await until("the webhook reads", lambda: process.poll() is None and reading in metrics(home))
                assert health() == (200, {"status"})
                await to.send(kafka.names.alerts, event(alert(**now())))
                away = {f"waiting for alertmanager {base}", "waiting for webhook hook"}
                await until("the health names both targets", lambda: health() == (503, away))
                counted = metrics(home)
                assert {"it answers 500", "it answers 503"} <= set(page(home, "/healthz").json().values())
                manager.answers, hook.answers = [], []
                await until("both targets accept the alert", lambda: manager.accepted and hook.accepted)
                await until("the bridge is healthy", lambda: health() == (200, {"status"}))
        log.seek(0)
        logged = log.read()
    assert {one.headers.get("authorization") for one in manager.seen + hook.seen} == {sent}
    assert "hunter2" not in "".join([*shown, counted, logged])
    assert f'weir_bridge_target_reachable{{target="{base}"}} 0.0' in counted
    assert all(part in logged for part in ("webhook hook", "al_1.firing.warning", "it answers 500"))
