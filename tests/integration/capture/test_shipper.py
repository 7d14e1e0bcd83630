"""The shipper with real brokers: no record is lost, the order is kept, and only retried records are duplicated."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import textwrap
import time
import uuid

import msgspec
import pytest
from aiokafka import TopicPartition
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support.component_process import component_process
from support.kafka_log import fresh_topics, until
from support.running_broker import start_broker
from support.spool import TRACE, Spool, a_request, an_end
from support.stack import free_port

from serving.capture.balance import read_balance
from serving.capture.recorder import Recorder
from serving.capture.shipper import Shipper, read_shipper_status
from serving.settings import CaptureSettings
from stream.kafka.admin import create_topics
from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from stream.wire import Closed, Feedback, GapRecord, RequestRecord, ResponseRecord, Tick, decode

pytestmark = pytest.mark.kafka
PARTITIONS = 3


def new_topics(bootstrap):
    """Return the settings of topics that do not exist yet."""
    return KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", partitions=PARTITIONS)


def topics(bootstrap):
    return fresh_topics(bootstrap, partitions=PARTITIONS)


async def read_topic(kafka, topic):
    """Return [(partition, event, headers)] of all present records of `topic`, each partition in order."""
    async with contextlib.aclosing(Tail(kafka.client_options(), topic, follow=False).records()) as records:
        return [(one.partition, decode(one.value, one.headers), one.headers) async for one in records]


@contextlib.asynccontextmanager
async def shipping(root, kafka, registry=None):
    stop = asyncio.Event()
    names = {"names": kafka.names, "partitions": PARTITIONS}
    telemetry = {"registry": registry or CollectorRegistry(), "tracer_provider": TracerProvider()}
    shipper = Shipper(root, kafka.client_options(), **names, **telemetry)
    task = asyncio.create_task(shipper.run(stop))
    try:
        yield
        assert not task.done() or task.result() is None
    finally:
        stop.set()
        await task


async def traffic(recorder, names, pause=0.0):
    for name in names:
        recorder.request(a_request(name, f"prompt of {name} " * 20), traceparent=TRACE)
        recorder.end(an_end(name, "answer " * 30))
        if pause:
            await asyncio.sleep(pause)


def check_complete(found, names):
    """Check that each request and end is present, first copies are in order, and no event is older than an earlier tick.

    Return the number of duplicates.
    """
    requests = {event.correlationid for _, event, _ in found if isinstance(event.data, RequestRecord)}
    ends = {event.correlationid for _, event, _ in found if isinstance(event.data, ResponseRecord)}
    assert requests == ends == set(names)
    seen, repeated = set(), 0
    latest, promised = {}, {}
    for partition, event, _ in found:
        if isinstance(event.data, Tick):
            for source, time_ in event.data.sources.items():
                promised[partition, source] = max(time_, promised.get((partition, source), 0.0))
        elif isinstance(event.data, RequestRecord | ResponseRecord):
            if (event.source, event.id) in seen:
                repeated += 1
                continue
            seen.add((event.source, event.id))
            assert event.data.number > latest.get((partition, event.source), 0)
            assert event.time >= promised.get((partition, event.source), 0.0)
            latest[partition, event.source] = event.data.number
    return repeated


async def test_records_ticks_and_the_end_arrive_in_order_and_the_spool_is_removed(broker, tmp_path):
    kafka = await topics(broker.bootstrap)
    requests = [f"r{number}" for number in range(200)]
    registry = CollectorRegistry()
    async with shipping(tmp_path, kafka, registry):
        recorder = Recorder(root=tmp_path, settings=CaptureSettings(tick_seconds=0.1), registry=CollectorRegistry())
        recorder.start()
        await traffic(recorder, requests, pause=0.001)
        recorder.judge(Feedback(request_id="r0", tenant="acme", rating="down"))
        recorder.close()
        await until("the spool is removed", lambda: not list(tmp_path.glob("gateway-*")))
        assert read_shipper_status(tmp_path).reason == ""
    found = await read_topic(kafka, kafka.names.inference)
    assert check_complete(found, requests) == 0
    for partition in range(PARTITIONS):
        mine = [event for at, event, _ in found if at == partition]
        assert [isinstance(event.data, Closed) for event in mine] == [False] * (len(mine) - 1) + [True]
        assert any(isinstance(event.data, Tick) for event in mine)
    (feedback,) = await read_topic(kafka, kafka.names.feedback)
    assert feedback[1].data.rating == "down"
    for _, event, headers in found:
        hops = [value for name, value in headers if name == "traceparent"]
        assert len(hops) == (1 if event.traceparent else 0)
    balance = read_balance(tmp_path)
    assert (balance.accepted, balance.delivered, balance.spooled, balance.shed) == (400, 400, 0, 0)
    assert registry.get_sample_value("weir_capture_delivered_total") == 400
    assert registry.get_sample_value("weir_capture_accepted_total") == 400
    assert registry.get_sample_value("weir_capture_spooled_records") == 0
    assert registry.get_sample_value("weir_capture_kafka_reachable") == 1
    assert registry.get_sample_value("weir_capture_produce_seconds_count") >= 400


async def test_a_broker_killed_and_restarted_under_traffic_loses_no_record(tmp_path, apache_broker):
    del apache_broker  # requested only to skip the test if Apache Kafka cannot run here
    requests = [f"r{number}" for number in range(1000)]
    root = tmp_path / "spool"
    with start_broker("apache", tmp_path / "broker") as broker:
        kafka = await topics(broker.bootstrap)
        async with shipping(root, kafka):
            with Recorder(root=root, settings=CaptureSettings(), registry=CollectorRegistry()) as recorder:
                sending = asyncio.create_task(traffic(recorder, requests, pause=0.004))
                await until("half is delivered", lambda: read_balance(root).delivered > 500)
                await asyncio.to_thread(broker.kill)
                assert not sending.done()
                await sending
                assert read_balance(root).spooled > 0
            broker.start()
            began = time.monotonic()
            await until("the backlog is drained", lambda: not list(root.glob("gateway-*")))
            drained = time.monotonic() - began
        found = await read_topic(kafka, kafka.names.inference)
    repeated = check_complete(found, requests)
    balance = read_balance(root)
    assert (balance.accepted, balance.delivered, balance.shed) == (2000, 2000, 0)
    print(f"broker killed under traffic: 0 of 2000 lost, {repeated} repeated, drained {drained:.1f} s after its start")


async def test_it_starts_without_a_broker_and_delivers_when_there_is_one(tmp_path, apache_broker):
    del apache_broker
    port, root = free_port(), tmp_path / "spool"
    kafka = new_topics(f"127.0.0.1:{port}")
    requests = [f"r{number}" for number in range(50)]
    async with shipping(root, kafka):
        with Recorder(root=root, settings=CaptureSettings(), registry=CollectorRegistry()) as recorder:
            await traffic(recorder, requests)
            await until("a reason in the status", lambda: (status := read_shipper_status(root)) and status.reason)
            assert recorder.writable()
        with start_broker("apache", tmp_path / "broker", port):
            await until("the topic in the reason", lambda: kafka.names.inference in read_shipper_status(root).reason)
            assert "weir topics create" in read_shipper_status(root).reason
            await create_topics(kafka.client_options(), kafka.topics())
            await until("every spool is delivered", lambda: not list(root.glob("gateway-*")), seconds=30)
            assert check_complete(await read_topic(kafka, kafka.names.inference), requests) == 0


async def test_another_partition_count_is_an_error_that_names_the_setting(broker, tmp_path):
    kafka = await fresh_topics(broker.bootstrap, partitions=PARTITIONS + 1)
    async with shipping(tmp_path, kafka):
        status = await until("a reason", lambda: (found := read_shipper_status(tmp_path)) and found.reason and found)
    assert "WEIR_KAFKA__PARTITIONS" in status.reason
    assert f"has {PARTITIONS + 1} partitions" in status.reason


def _break_sequence(producer, names):
    for partition in range(PARTITIONS):
        producer._txn_manager.increment_sequence_number(TopicPartition(names.inference, partition), 7)


def _break_epoch(producer, names):
    """Set an old epoch: the broker knows a later one and fences this producer."""
    manager = producer._txn_manager
    manager._pid_and_epoch = manager._pid_and_epoch._replace(epoch=-1)


@pytest.mark.parametrize("spoil", [_break_sequence, _break_epoch], ids=["sequence", "epoch"])
async def test_a_lost_producer_is_replaced_and_no_record_is_lost(apache_broker, tmp_path, spoil):
    kafka = await topics(apache_broker.bootstrap)
    registry = CollectorRegistry()
    options = {"names": kafka.names, "partitions": PARTITIONS, "registry": registry}
    shipper = Shipper(tmp_path, kafka.client_options(), **options, tracer_provider=TracerProvider())
    stop = asyncio.Event()
    task = asyncio.create_task(shipper.run(stop))
    first, second = ([f"{half}{number}" for number in range(100)] for half in "ab")
    with Recorder(root=tmp_path, settings=CaptureSettings(), registry=CollectorRegistry()) as recorder:
        await traffic(recorder, first)
        await until("the first half is delivered", lambda: read_balance(tmp_path).delivered == 200)
        spoil((await shipper._delivery.lease())._producer, kafka.names)
        await traffic(recorder, second)
        began = time.monotonic()
        await until("the second half is delivered", lambda: read_balance(tmp_path).delivered == 400, seconds=30)
        took = time.monotonic() - began
    await until("the spool is removed", lambda: not list(tmp_path.glob("gateway-*")))
    stop.set()
    await task
    made = registry.get_sample_value("weir_capture_producers_total")
    repeated = check_complete(await read_topic(kafka, kafka.names.inference), first + second)
    assert made >= 2
    print(f"lost producer ({spoil.__name__}): 0 of 400 lost, {repeated} repeated, {took:.1f} s, {made:.0f} producers")


async def test_a_record_that_the_broker_rejects_becomes_a_gap_and_the_others_are_delivered(apache_broker, tmp_path):
    kafka = new_topics(apache_broker.bootstrap)
    specs = [msgspec.structs.replace(topic, max_message_bytes=20_000) for topic in kafka.topics()]
    await create_topics(kafka.client_options(), specs)
    spool = Spool(tmp_path)
    for number in range(30):
        spool.request(f"r{number}", "x" * (40_000 if number == 11 else 100))
        spool.end(f"r{number}")
    async with shipping(tmp_path, kafka):
        await until("no spooled record", lambda: read_balance(tmp_path).spooled == 0)
    spool.kill()
    found = await read_topic(kafka, kafka.names.inference)
    gaps = {event.data for _, event, _ in found if isinstance(event.data, GapRecord)}
    assert [(gap.first_number, gap.count, gap.reason, gap.request_ids) for gap in gaps] == [
        (23, 1, "oversize", ("r11",))
    ]
    assert len({event.id for _, event, _ in found if isinstance(event.data, RequestRecord | ResponseRecord)}) == 59
    balance = read_balance(tmp_path)
    assert (balance.accepted, balance.delivered, balance.shed) == (60, 59, 1)


GATEWAY = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from prometheus_client import CollectorRegistry
    from serving.capture.recorder import Recorder
    from serving.settings import CaptureSettings
    from support.spool import TRACE, a_request, an_end

    async def main():
        recorder = Recorder(root=Path(sys.argv[1]), settings=CaptureSettings(), registry=CollectorRegistry())
        recorder.start()
        for number in range(10**9):
            name = f"{sys.argv[2]}-{number}"
            recorder.request(a_request(name), traceparent=TRACE)
            print(name, flush=True)
            await asyncio.sleep(0.002)
            recorder.end(an_end(name))

    asyncio.run(main())
""")


def gateway_process(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", GATEWAY, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


async def test_repeated_kill_9_of_the_shipper_loses_no_record(apache_broker, tmp_path):
    kafka = await topics(apache_broker.bootstrap)
    seed, kills = 7, 8
    chance = random.Random(seed)
    settings = CaptureSettings(segment_bytes=40_000)
    requests, killed = [], asyncio.Event()

    async def until_killed():
        while not killed.is_set():
            requests.append(f"r{len(requests)}")
            await traffic(recorder, requests[-1:], pause=0.01)

    with Recorder(root=tmp_path, settings=settings, registry=CollectorRegistry()) as recorder:
        sending = asyncio.create_task(until_killed())
        for _ in range(kills):
            before = read_balance(tmp_path).delivered
            async with component_process("shipper", tmp_path, kafka) as shipper:
                await until("a delivered record", lambda before=before: read_balance(tmp_path).delivered > before)
                await asyncio.sleep(chance.random() * 0.3)
                shipper.kill()
                await shipper.wait()
            balance = read_balance(tmp_path)
            assert balance.accepted == balance.delivered + balance.spooled + balance.shed
        killed.set()
        await sending
    async with shipping(tmp_path, kafka):
        await until("every spool is delivered", lambda: not list(tmp_path.glob("gateway-*")))
    repeated = check_complete(await read_topic(kafka, kafka.names.inference), requests)
    assert read_balance(tmp_path).delivered == 2 * len(requests)
    print(f"kill -9 of the shipper, {kills} times, seed {seed}: 0 of {2 * len(requests)} lost, {repeated} repeated")


async def test_kill_9_of_a_gateway_ends_its_requests_as_aborted_within_10_s(broker, tmp_path):
    kafka = await topics(broker.bootstrap)
    kills, accepted, slowest = 4, set(), 0.0
    async with shipping(tmp_path, kafka):
        for kill in range(kills):
            gateway = gateway_process(tmp_path, f"g{kill}")
            lines = [await asyncio.to_thread(gateway.stdout.readline) for _ in range(60)]
            gateway.kill()
            lines += gateway.stdout.readlines()
            gateway.wait()
            gateway.stdout.close()
            began = time.monotonic()
            accepted |= {line.decode().strip() for line in lines if line.endswith(b"\n")}
            await until("the spool is ended and removed", lambda: not list(tmp_path.glob("gateway-*")), seconds=30)
            slowest = max(slowest, time.monotonic() - began)
    found = await read_topic(kafka, kafka.names.inference)
    requests = {event.correlationid for _, event, _ in found if isinstance(event.data, RequestRecord)}
    ends = {event.correlationid: event.data.status for _, event, _ in found if isinstance(event.data, ResponseRecord)}
    assert len(accepted) >= 60 * kills
    assert accepted <= requests
    assert len(requests) <= len(accepted) + kills
    assert ends.keys() == requests
    assert sum(status == "aborted" for status in ends.values()) <= kills
    assert slowest < 10
    print(f"kill -9 of a gateway, {kills} times: 0 of {len(accepted)} lost, ended after {slowest:.1f} s at most")
