"""Webhooks: signed, in order, each alert at least once whatever the receiver and the bridge do, each repetition under its own id."""

import itertools
import json
import random

import pytest
from support.alert_records import alert, event, resolved
from support.bridges import SECRET, bridge
from support.kafka_log import fresh_topics, sender, until
from support.receiver import is_signed, receiver
from support.stack import free_port

from stream.bridge.backoff import BackOff

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def hooks(**named):
    return {name: {"secret": SECRET} | settings for name, settings in named.items()}


def ids(requests):
    return [request.headers["webhook-id"] for request in requests]


async def test_alerts_are_told_signed_to_whom_they_concern(broker):
    kafka = await fresh_topics(broker.bootstrap)
    with receiver() as every, receiver() as pager:
        named = hooks(every={"url": every.url}, pager={"url": pager.url, "tenants": "acme-*", "severity": "critical"})
        async with sender(kafka) as to:
            await to.send(kafka.names.alerts, event(alert("al_before")))
            async with bridge(kafka, webhooks=named) as run:
                await until("both have begun", lambda: run.begun == {"every", "pager"})
                await to.send(kafka.names.alerts, event(alert("al_1", tenant="acme-1")))
                await to.send(kafka.names.alerts, event(alert("al_2")))
                await to.send(
                    kafka.names.alerts, event(alert("al_1", tenant="acme-1", revision=1, severity="critical"))
                )
                await to.send(kafka.names.alerts, event(resolved("al_1", tenant="acme-1", severity="critical")))
                await until("all are told", lambda: len(every.taken) >= 4 and len(pager.taken) >= 2)
                assert run.health == {}
        assert ids(every.taken) == [
            "al_1.firing.warning",
            "al_2.firing.warning",
            "al_1.firing.critical",
            "al_1.resolved.critical",
        ]
        assert ids(pager.taken) == ["al_1.firing.critical", "al_1.resolved.critical"]
        assert all(is_signed(one, SECRET) for one in every.taken + pager.taken)
        assert every.taken[0].message["data"]["tenant"] == "acme-1"


async def test_a_receiver_that_is_away_holds_up_nobody_else_and_misses_nothing(apache_broker):
    kafka = await fresh_topics(apache_broker.bootstrap)
    port = free_port()
    away = f"http://127.0.0.1:{port}/hook"
    with receiver() as well:
        async with (
            sender(kafka) as to,
            bridge(kafka, webhooks=hooks(well={"url": well.url}, away={"url": away})) as run,
        ):
            await until("both have begun", lambda: run.begun == {"well", "away"})
            for number in range(5):
                await to.send(kafka.names.alerts, event(alert(f"al_{number}")), partition=number % 2)
            await until("the one that is there has all", lambda: len(well.taken) == 5)
            await until("the other is waited for", lambda: "waiting for webhook away" in run.health)
            with receiver(port) as back:
                await until("it gets all", lambda: len(back.taken) == 5)
                assert set(ids(back.taken)) == set(ids(well.taken))
                await until("the bridge is well", lambda: not run.health)


@pytest.mark.parametrize("seed", range(3))
async def test_no_alert_is_lost_while_receivers_fail_and_bridges_end(apache_broker, seed, monkeypatch):
    """Receivers fail at random, and the bridge is stopped half-way three times: each message is taken, in its partition's order."""
    monkeypatch.setattr("stream.bridge.webhook.BackOff", lambda *_seconds: BackOff(0.01, 0.1))
    kafka = await fresh_topics(apache_broker.bootstrap)
    chance = random.Random(seed)
    wanted = {part: [f"al_{seed}_{part}_{number}.firing.warning" for number in range(20)] for part in range(2)}
    with receiver() as hook:
        named = hooks(hook={"url": hook.url})
        async with sender(kafka) as to:
            async with bridge(kafka, webhooks=named) as run:
                await until("it has begun", lambda: run.begun == {"hook"})
            for part, number in itertools.product(range(2), range(20)):
                await to.send(kafka.names.alerts, event(alert(f"al_{seed}_{part}_{number}")), partition=part)
            for round_ in range(1, 4):
                hook.answers = [chance.choice((204, 204, 204, 500, 429, 400, 302)) for _ in range(12)]
                async with bridge(kafka, webhooks=named):
                    await until("some are taken", lambda r=round_: len(hook.taken) >= 9 * r)
            hook.answers = []
            async with bridge(kafka, webhooks=named):
                await until("all are taken", lambda: len(set(ids(hook.taken))) == 40)
    taken = list(dict.fromkeys(ids(hook.taken)))
    for expected in wanted.values():
        assert [one for one in taken if one in set(expected)] == expected
    assert all(is_signed(one, SECRET) for one in hook.seen)
    assert len({(request.headers["webhook-id"], json.dumps(request.message)) for request in hook.seen}) == 40
