import contextlib
import json
import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from support.lab import Lab
from support.running_broker import RunningBroker, start_broker

from stream.kafka.admin import create_topics, list_topics
from stream.kafka.clients import admin_for, producer_for
from stream.kafka.probe import broker_answers
from stream.settings import KafkaSettings
from stream.wire.topics import Topic

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[3]


def fresh_prefix() -> str:
    return f"t{uuid.uuid4().hex[:8]}."


def options(broker: RunningBroker) -> dict:
    return {"bootstrap_servers": broker.bootstrap}


async def test_topics_are_created_once_with_their_settings(broker):
    prefix = fresh_prefix()
    specs = KafkaSettings(topic_prefix=prefix, retention_hours=1, retention_bytes=1_000_000).topics()
    assert sorted(await create_topics(options(broker), specs)) == sorted(spec.name for spec in specs)
    assert await create_topics(options(broker), specs) == []
    listed = {info.topic: info for info in await list_topics(options(broker), prefix)}
    assert {name: info.partitions for name, info in listed.items()} == {s.name: s.partitions for s in specs}
    assert {name: info.messages for name, info in listed.items()} == {s.name: 0 for s in specs}
    if broker.kind == "apache":
        assert {name: info.cleanup_policy for name, info in listed.items()} == {s.name: s.cleanup_policy for s in specs}
        assert {info.retention_ms for info in listed.values()} == {3_600_000}


async def test_a_small_retention_makes_small_segments_that_have_room_for_the_largest_record(broker):
    kafka = KafkaSettings(topic_prefix=fresh_prefix(), retention_hours=1, retention_bytes=1_000_000)
    await create_topics(options(broker), kafka.topics())
    async with producer_for(options(broker)) as producer:
        await producer.send_and_wait(kafka.names.inference, random.randbytes(1_048_000), partition=0)
    if broker.kind == "apache":
        async with admin_for(options(broker)) as client:
            topic = ConfigResource(ConfigResourceType.TOPIC, kafka.names.inference)
            (described,) = (await client.describe_configs([topic]))[0].resources
        config = {name: value for name, value, *_ in described[4]}
        assert (config["segment.ms"], config["segment.bytes"]) == ("450000", "1114112")


async def test_a_record_from_a_host_with_a_wrong_clock_is_accepted(broker):
    """With the producer's timestamps (`CreateTime`), Kafka rejects a record that is dated more than an hour ahead."""
    kafka = KafkaSettings(topic_prefix=fresh_prefix())
    await create_topics(options(broker), kafka.topics())
    async with producer_for(options(broker)) as producer:
        for days in (2, -30):
            timestamp = int((time.time() + days * 86_400) * 1000)
            await producer.send_and_wait(kafka.names.inference, b"x", partition=0, timestamp_ms=timestamp)


async def test_the_number_of_messages_is_that_of_the_topic(broker):
    name = f"{fresh_prefix()}x"
    await create_topics(options(broker), [Topic(name=name, partitions=2)])
    await Lab(broker.bootstrap, None).produce(name, [b"x"] * 5)
    (info,) = await list_topics(options(broker), name)
    assert info.messages == 5


@pytest.mark.parametrize("kind", ["apache", "embedded"])
async def test_records_survive_kill_9_and_a_restart_on_the_same_port(kind, tmp_path, request):
    if kind == "apache":
        request.getfixturevalue("apache")
    name = f"{fresh_prefix()}kept"
    with start_broker(kind, tmp_path) as broker:
        await create_topics(options(broker), [Topic(name=name, partitions=2)])
        await Lab(broker.bootstrap, None).produce(name, [b"x"] * 50, partition=1)
        if kind == "embedded":
            saved(tmp_path / "embedded" / "kafka.json", after=time.time())
        address, pid = broker.bootstrap, broker.pid
        broker.kill()
        assert not psutil.pid_exists(pid)
        assert not broker_answers(address, 1.0)
        broker.start()
        assert broker.bootstrap == address
        assert len(await Lab(broker.bootstrap, None).read(name, 2)) == 50


def test_every_listener_is_on_loopback(broker):
    process = psutil.Process(broker.pid)
    listening = {c.laddr.ip for c in process.net_connections("all") if c.laddr and c.status in {"LISTEN", "NONE"}}
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_a_suspended_broker_does_not_answer(tmp_path):
    with start_broker("embedded", tmp_path) as broker:
        process = psutil.Process(broker.pid)
        process.suspend()
        assert not broker_answers(broker.bootstrap, 0.5)
        process.resume()
        assert broker_answers(broker.bootstrap, 2.0)
        assert broker_answers(f"127.0.0.1:1, {broker.bootstrap}", 2.0)  # one of several servers is down


def test_the_broker_dies_with_its_parent(tmp_path):
    script = (
        "import json,os,signal,sys; from pathlib import Path; from support.running_broker import start_broker;"
        "b = start_broker('embedded', Path(sys.argv[1])); print(json.dumps([b.pid, b.bootstrap]), flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    pid, address = json.loads(done.stdout)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(10)
    assert not broker_answers(address, 0.5)


def saved(snapshot: Path, after: float) -> None:
    """Wait until the embedded broker saves: it acknowledges a record before it writes the record to disk (EMBEDDED_NOTICE)."""
    deadline = time.monotonic() + 20
    while not snapshot.exists() or snapshot.stat().st_mtime < after:
        assert time.monotonic() < deadline, f"{snapshot} was not saved within 20 s"
        time.sleep(0.05)
