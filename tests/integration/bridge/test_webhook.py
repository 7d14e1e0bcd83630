"""Webhook messages: signed, in order, at least once if a receiver or the bridge fails, with the same id in a retry."""

import asyncio
import itertools
import json
import random
from unittest.mock import Mock

import pytest
from prometheus_client import CollectorRegistry
from support.alert_records import alert, event, resolved
from support.bridges import SECRET, bridge
from support.kafka_log import fresh_topics, sender, until
from support.receiver import is_signed, receiver
from support.stack import free_port

from stream.bridge.metrics import BridgeMetrics
from stream.bridge.notification_target import BackOff
from stream.bridge.webhook import WebhookNotifier
from stream.settings import KafkaSettings, WebhookSettings

pytestmark = pytest.mark.kafka


def hooks(**named):
    return {name: {"secret": SECRET} | settings for name, settings in named.items()}


def ids(requests):
    return [request.headers["webhook-id"] for request in requests]


async def test_each_webhook_receives_its_alerts_signed(broker):
    kafka = await fresh_topics(broker.bootstrap)
    with receiver() as every, receiver() as pager:
        named = hooks(every={"url": every.url}, pager={"url": pager.url, "tenants": "acme-*", "severity": "critical"})
        async with sender(kafka) as to:
            await to.send(kafka.names.alerts, event(alert("al_before")))
            async with bridge(kafka, webhooks=named) as run:
                await until("both webhooks read", lambda: run.started == {"every", "pager"})
                await to.send(kafka.names.alerts, event(alert("al_1", tenant="acme-1")))
                await to.send(kafka.names.alerts, event(alert("al_2")))
                await to.send(
                    kafka.names.alerts, event(alert("al_1", tenant="acme-1", revision=1, severity="critical"))
                )
                await to.send(kafka.names.alerts, event(resolved("al_1", tenant="acme-1", severity="critical")))
                await until("all messages are delivered", lambda: len(every.accepted) >= 4 and len(pager.accepted) >= 2)
                assert run.health == {}
        assert ids(every.accepted) == [
            "al_1.firing.warning",
            "al_2.firing.warning",
            "al_1.firing.critical",
            "al_1.resolved.critical",
        ]
        assert ids(pager.accepted) == ["al_1.firing.critical", "al_1.resolved.critical"]
        assert all(is_signed(one, SECRET) for one in every.accepted + pager.accepted)
        assert every.accepted[0].message["data"]["tenant"] == "acme-1"


async def test_without_the_topic_a_webhook_waits(broker):
    """If the broker's volume was deleted, the webhook waits until the topics are created again. Other alerts continue to fire."""
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap, topic_prefix="deleted.")
    settings, stop = WebhookSettings(url="http://127.0.0.1:9", secret=SECRET), asyncio.Event()
    notifier = WebhookNotifier(
        "hook", settings, kafka, Mock(), Mock(), metrics=BridgeMetrics(CollectorRegistry()), health={}
    )
    running = asyncio.create_task(notifier.run(Mock(alerts=[]), stop))
    done, _ = await asyncio.wait({running}, timeout=2)
    stop.set()
    await running
    assert not done


async def test_an_unavailable_receiver_delays_no_other_receiver_and_misses_no_alert(apache_broker):
    kafka = await fresh_topics(apache_broker.bootstrap)
    port = free_port()
    away = f"http://127.0.0.1:{port}/hook"
    with receiver() as well:
        async with (
            sender(kafka) as to,
            bridge(kafka, webhooks=hooks(well={"url": well.url}, away={"url": away})) as run,
        ):
            await until("both webhooks read", lambda: run.started == {"well", "away"})
            for number in range(5):
                await to.send(kafka.names.alerts, event(alert(f"al_{number}")), partition=number % 2)
            await until("the available receiver has all", lambda: len(well.accepted) == 5)
            await until("the bridge waits for the other", lambda: "waiting for webhook away" in run.health)
            with receiver(port) as back:
                await until("the other receiver has all", lambda: len(back.accepted) == 5)
                assert set(ids(back.accepted)) == set(ids(well.accepted))
                await until("the bridge is healthy", lambda: not run.health)


@pytest.mark.parametrize("seed", range(3))
async def test_no_alert_is_lost_while_receivers_fail_and_bridges_stop(apache_broker, seed, monkeypatch):
    """Receivers fail at random and the bridge stops three times. Each message is accepted, in the order of its partition."""
    monkeypatch.setattr("stream.bridge.notification_target.BackOff", lambda *_seconds: BackOff(0.01, 0.1))
    kafka = await fresh_topics(apache_broker.bootstrap)
    random_ = random.Random(seed)
    wanted = {part: [f"al_{seed}_{part}_{number}.firing.warning" for number in range(20)] for part in range(2)}
    with receiver() as hook:
        named = hooks(hook={"url": hook.url})
        async with sender(kafka) as to:
            async with bridge(kafka, webhooks=named) as run:
                await until("the webhook reads", lambda: run.started == {"hook"})
            for part, number in itertools.product(range(2), range(20)):
                await to.send(kafka.names.alerts, event(alert(f"al_{seed}_{part}_{number}")), partition=part)
            for round_ in range(1, 4):
                hook.answers = [random_.choice((204, 204, 204, 500, 429, 400, 302)) for _ in range(12)]
                async with bridge(kafka, webhooks=named):
                    await until("more accepted messages", lambda r=round_: len(hook.accepted) >= 9 * r)
            hook.answers = []
            async with bridge(kafka, webhooks=named):
                await until("all messages are accepted", lambda: len(set(ids(hook.accepted))) == 40)
    accepted = list(dict.fromkeys(ids(hook.accepted)))
    for expected in wanted.values():
        assert [one for one in accepted if one in set(expected)] == expected
    assert all(is_signed(one, SECRET) for one in hook.seen)
    assert len({(request.headers["webhook-id"], json.dumps(request.message)) for request in hook.seen}) == 40
