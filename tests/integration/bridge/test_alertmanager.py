"""Alerts from a real Kafka in a real Alertmanager: they fire, are sent again and resolve; a restart of Alertmanager loses none."""

import asyncio
import time

import pytest
from support.alert_records import alert, event, now, resolved
from support.alertmanagers import notified
from support.bridges import bridge
from support.kafka_log import fresh_topics, sender, until

pytestmark = pytest.mark.kafka


async def at(manager, **labels):
    return await asyncio.to_thread(manager.alerts, **labels)


async def seen(what, check, seconds=60):
    """Poll an awaitable `check`."""
    deadline = time.monotonic() + seconds
    while not (result := await check()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        await asyncio.sleep(0.1)
    return result


async def test_an_alert_fires_is_sent_again_and_resolves(broker, manager, hook):
    kafka = await fresh_topics(broker.bootstrap)
    links = {
        "runbook_url": "https://docs.example/runbook.md",
        "trace_url": "http://127.0.0.1:5000/#/traces?id={trace_id}",
    }
    async with sender(kafka) as to, bridge(kafka, alertmanagers=[manager.url], **links) as run:
        await to.send(kafka.names.alerts, event(alert(**now())))
        (first,) = await seen("the alert fires", lambda: at(manager, detector="pii"))
        assert first["labels"] == {
            "alertname": "WeirPii", "service": "weir", "severity": "warning",
            "detector": "pii", "tenant": "acme", "model": "m", "side": "input",
        }  # fmt: skip
        assert first["annotations"]["summary"] == "summary of al_1"
        assert first["annotations"]["runbook_url"] == "https://docs.example/runbook.md#pii"
        assert (
            first["generatorURL"] == first["annotations"]["trace"] == f"http://127.0.0.1:5000/#/traces?id={'ab' * 16}"
        )

        async def later():
            (again,) = await at(manager, detector="pii")
            return again["endsAt"] > first["endsAt"] and again["startsAt"] == first["startsAt"]

        await seen("the alert is sent again", later)
        at_ = now()["at"]
        await to.send(kafka.names.alerts, event(resolved(opened_at=at_, at=at_, resolved_at=at_)))

        async def ended():
            return not await at(manager, detector="pii")

        await seen("the alert resolves", ended)
        await until("the end is notified", lambda: notified(hook.seen, lambda one: one["status"] == "resolved"))
        assert run.value("weir_bridge_posts_total", target=manager.url, outcome="taken") >= 3
        assert run.value("weir_bridge_firing_alerts") == 0
        assert run.health == {}


async def test_a_restarted_alertmanager_receives_the_alerts_again(apache_broker, manager):
    kafka = await fresh_topics(apache_broker.bootstrap)
    async with sender(kafka) as to, bridge(kafka, alertmanagers=[manager.url]) as run:
        await to.send(kafka.names.alerts, event(alert(**now())))
        await seen("the alert fires", lambda: at(manager, detector="pii"))
        await asyncio.to_thread(manager.kill)
        await until("the health names Alertmanager", lambda: f"waiting for alertmanager {manager.url}" in run.health)
        await to.send(kafka.names.alerts, event(alert("al_2", detector="toxicity", **now())))
        await asyncio.to_thread(manager.start)

        async def both():
            return {one["labels"]["detector"] for one in await at(manager)} == {"pii", "toxicity"}

        await seen("both alerts fire", both)
        await until("the bridge is healthy", lambda: not run.health)
        assert run.value("weir_bridge_posts_total", target=manager.url, outcome="failed") >= 1
