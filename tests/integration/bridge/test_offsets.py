"""The offsets of a webhook outlive Kafka's offset retention; records that Kafka deleted before delivery are counted."""

import asyncio
import subprocess

import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition
from support.alert_records import alert, event
from support.bridges import SECRET, bridge
from support.kafka_log import fresh_topics, sender, until
from support.kafkascripts import write_scripts
from support.receiver import receiver
from support.stack import free_port

from stream.bridge.webhook import group_of
from stream.kafka.admin import group_offsets
from stream.kafka.clients import admin_for, consumer_for

pytestmark = pytest.mark.kafka


def hook(url):
    return {"webhooks": {"hook": {"url": url, "secret": SECRET}}}


def ids(made):
    return [request.headers["webhook-id"].split(".")[0] for request in made.accepted]


async def forget(kafka, folder):
    """Delete the webhook's group, as Kafka does after a week without a commit."""
    folder.mkdir()
    write_scripts(folder)
    command = [folder / "kafka-consumer-groups.sh", "--bootstrap-server", kafka.bootstrap_servers]
    arguments = ["--delete", "--group", group_of(kafka, "hook")]
    done = await asyncio.to_thread(
        subprocess.run, [*command, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "successful" in done.stdout


async def test_a_receiver_that_is_unavailable_for_longer_than_the_offset_retention_loses_no_alert(
    apache_broker, tmp_path, monkeypatch
):
    monkeypatch.setattr("stream.bridge.webhook_offsets._RECOMMIT_SECONDS", 0.2)
    kafka = await fresh_topics(apache_broker.bootstrap)
    port, group = free_port(), group_of(kafka, "hook")
    away = hook(f"http://127.0.0.1:{port}/hook")

    async def known():
        found = await group_offsets(kafka.client_options(), [group])
        return {partition.partition: offset for partition, offset in found[group].items()}

    async with sender(kafka) as to:
        async with bridge(kafka, **away) as run:
            await until("the webhook reads", lambda: run.started == {"hook"})
            await to.send(kafka.names.alerts, event(alert("al_1")), event(alert("al_2")))
            await until("the bridge waits for the receiver", lambda: "waiting for webhook hook" in run.health)
            await forget(kafka, tmp_path / "bin")
            for _ in range(200):
                if await known() == {0: 0, 1: 0}:
                    break
                await asyncio.sleep(0.1)
            else:
                pytest.fail(f"offsets are {await known()}, expected another commit")
        await to.send(kafka.names.alerts, event(alert("al_3")), partition=1)
        with receiver(port) as back:
            async with bridge(kafka, **away) as run:
                await until("the receiver has all alerts", lambda: set(ids(back)) == {"al_1", "al_2", "al_3"})
                assert run.value("weir_bridge_webhook_missed_records_total", target="hook") == 0


async def test_deleted_records_are_counted_and_the_others_are_delivered(apache_broker):
    kafka = await fresh_topics(apache_broker.bootstrap)
    topic = kafka.names.alerts
    with receiver() as made:
        async with sender(kafka) as to:
            async with bridge(kafka, **hook(made.url)) as run:
                await until("the webhook reads", lambda: run.started == {"hook"})
            await to.send(topic, *(event(alert(f"al_{number}")) for number in range(5)))
            async with admin_for(kafka.client_options()) as admin:
                policy = {"cleanup.policy": "compact,delete"}
                await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=policy)])
                await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=3)})
            async with bridge(kafka, **hook(made.url)) as run:
                await until("the other alerts are delivered", lambda: ids(made) == ["al_3", "al_4"])
                await to.send(topic, event(alert("al_5")))
                await until("the next alert is delivered", lambda: ids(made) == ["al_3", "al_4", "al_5"])
                assert run.value("weir_bridge_webhook_missed_records_total", target="hook") == 3


async def test_a_recreated_log_is_delivered_from_its_beginning(apache_broker):
    kafka = await fresh_topics(apache_broker.bootstrap)
    offsets = {TopicPartition(kafka.names.alerts, index): 500 for index in range(2)}
    async with consumer_for(kafka.client_options(), group_id=group_of(kafka, "hook")) as consumer:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
    with receiver() as made:
        async with sender(kafka) as to:
            await to.send(kafka.names.alerts, event(alert("al_1")))
            async with bridge(kafka, **hook(made.url)):
                await until("the alert is delivered", lambda: ids(made) == ["al_1"])
