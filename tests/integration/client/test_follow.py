import asyncio
import gc
import time
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from support import alert_records as records
from support.alert_records import event
from support.kafka_log import fresh_topics, sender, until
from support.running_broker import start_broker

from stream.errors import BrokerError, TopicMissing
from stream.kafka.admin import create_topics
from stream.kafka.clients import admin_for
from stream.wire import Event, RetrainingRecord
from weir.client import Alert, Client, Retraining

pytestmark = pytest.mark.kafka


def alert(alert_id, *, revision=0, **fields):
    return event(records.alert(alert_id, revision=revision, at=10.0 + revision, **fields))


def client(kafka):
    return Client(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka.topic_prefix)


async def take(stream, count, seconds=30):
    async with asyncio.timeout(seconds):
        return [await anext(stream) for _ in range(count)]


async def test_state_changes_are_yielded_once_in_order_of_time(broker):
    kafka = await fresh_topics(broker.bootstrap)
    history = [
        alert("al_1"),
        alert("al_1"),
        alert("al_1", revision=1, severity="critical"),
        alert("al_1", revision=2, state="resolved"),
        alert("al_1", revision=1, severity="critical"),
    ]
    async with sender(kafka) as to:
        for event in history:
            await to.send(kafka.names.alerts, event)
        await to.raw(kafka.names.retraining, b"no event")
        await to.send(kafka.names.alerts, alert("al_2"), partition=1)
    found = [item async for item in client(kafka).alerts(follow=False)]
    assert [(item.alert_id, item.state) for item in found] == [
        ("al_1", "firing"),
        ("al_1", "resolved"),
        ("al_2", "firing"),
    ]
    assert isinstance(found[0], Alert)
    updates = [item async for item in client(kafka).alerts(follow=False, updates=True)]
    assert [(item.alert_id, item.severity) for item in updates] == [
        ("al_1", "warning"),
        ("al_1", "critical"),
        ("al_1", "warning"),
        ("al_2", "warning"),
    ]


async def test_since_starts_at_a_time_and_following_starts_now(broker):
    kafka = await fresh_topics(broker.bootstrap)
    async with sender(kafka) as to:
        await to.send(kafka.names.alerts, alert("al_old"))
        moment = datetime.now(UTC) + timedelta(milliseconds=5)
        await until("a later millisecond", lambda: datetime.now(UTC) > moment)
        async with aclosing(client(kafka).alerts()) as live, aclosing(client(kafka).alerts(since="1h")) as recent:
            first = asyncio.create_task(anext(live))
            assert [item.alert_id for item in await take(recent, 1)] == ["al_old"]
            number = 0
            deadline = time.monotonic() + 60
            while not first.done():  # the consumer seeks the end some time after its start
                assert time.monotonic() < deadline
                await to.send(kafka.names.alerts, alert(f"al_{number}"))
                number += 1
            assert (await first).alert_id != "al_old"
        later = [item.alert_id async for item in client(kafka).alerts(since=moment, follow=False)]
        assert later == [f"al_{index}" for index in range(number)]


async def test_retraining_events_are_typed(broker):
    kafka = await fresh_topics(broker.bootstrap)
    data = RetrainingRecord(
        retraining_id="rt_1", state="suppressed", reason="2 of 3 principals", tenant="t", model="m", at=5.0
    )
    decision = Event(id="rt_1", source="w", type=data.event_type, time=5.0, data=data, partitionkey="k")
    async with sender(kafka) as to:
        await to.send(kafka.names.retraining, decision, decision)
    found = [item async for item in client(kafka).retraining(follow=False)]
    assert [(type(item), item.state, item.reason) for item in found] == [
        (Retraining, "suppressed", "2 of 3 principals")
    ]


async def test_leaving_the_loop_closes_the_connection(broker):
    kafka = await fresh_topics(broker.bootstrap)
    async with sender(kafka) as to:
        await to.send(kafka.names.alerts, alert("al_1"))
    before = {id(task) for task in asyncio.all_tasks()}
    async for item in client(kafka).alerts(since="1h"):
        assert item.alert_id == "al_1"
        break
    gc.collect()
    deadline = time.monotonic() + 10
    while {id(task) for task in asyncio.all_tasks()} - before:
        assert time.monotonic() < deadline, "the consumer's tasks still run"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["apache", "embedded"])
async def test_following_resumes_after_a_broker_restart(kind, tmp_path, request, caplog):
    if kind == "apache":
        request.getfixturevalue("apache")
    with start_broker(kind, tmp_path) as broker:
        kafka = await fresh_topics(broker.bootstrap)
        async with aclosing(client(kafka).alerts(since="1h")) as stream:
            async with sender(kafka) as to:
                await to.send(kafka.names.alerts, alert("al_1"))
            assert [item.alert_id for item in await take(stream, 1)] == ["al_1"]
            broker.kill() if kind == "apache" else broker.stop()  # the embedded broker saves once a second
            waiting = asyncio.create_task(anext(stream))
            await until("a warning", lambda: "alerts: reading from Kafka failed" in caplog.text)
            assert not waiting.done(), "an outage does not end the iteration"
            broker.start()
            async with sender(kafka) as to:
                await to.send(kafka.names.alerts, alert("al_2"))
            async with asyncio.timeout(120):
                assert (await waiting).alert_id == "al_2"
    ours = [one.getMessage() for one in caplog.records if one.name == "stream.kafka.tail"]
    continued = [one.endswith("alerts: reading continues after the last record") for one in ours]
    assert continued == [False, True] * (len(ours) // 2), "one warning at the start of an outage, one at its end"


async def test_following_resumes_at_the_first_record_of_a_recreated_topic(apache_broker, caplog):
    kafka = await fresh_topics(apache_broker.bootstrap)
    topic = kafka.names.alerts
    async with sender(kafka) as to:
        await to.send(topic, *(alert(f"al_{number}") for number in range(5)))
    async with aclosing(client(kafka).alerts(since="1h")) as stream:
        assert [item.alert_id for item in await take(stream, 5)] == [f"al_{number}" for number in range(5)]
        async with admin_for(kafka.client_options()) as admin:
            await admin.delete_topics([topic])
        waiting = asyncio.create_task(anext(stream))
        await until("a warning", lambda: "alerts: reading from Kafka failed" in caplog.text)
        await create_topics(kafka.client_options(), kafka.topics())
        async with sender(kafka) as to:
            await to.send(topic, alert("al_new"))
        async with asyncio.timeout(60):
            assert (await waiting).alert_id == "al_new"


async def test_a_missing_broker_or_topic_is_an_error_that_names_the_fix(broker):
    kafka = await fresh_topics(broker.bootstrap)
    with pytest.raises(TopicMissing, match=r"no topic none\.alerts; run `weir topics create`"):
        await anext(Client(bootstrap_servers=broker.bootstrap, topic_prefix="none.").alerts())
    with pytest.raises(BrokerError, match=r"no Kafka answers at 127\.0\.0\.1:1;"):
        await anext(Client(bootstrap_servers="127.0.0.1:1", topic_prefix=kafka.topic_prefix).alerts())
