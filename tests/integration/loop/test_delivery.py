"""Delivery on a real Kafka: one decision after any SIGKILL, operators' decisions without Kafka, one process for each home."""

import asyncio
import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from support.delivery_events import GATE, KEY, M1, START, TRACE, answers, bless, blessed, ends
from support.kafka_log import fresh_topics, sender, until

from stream.errors import StreamError
from stream.kafka.tail import Tail
from stream.loop.delivery import agent
from stream.loop.delivery.agent import run_delivery, state_path
from stream.loop.delivery.route_store import add_override, read_overrides, read_routes
from stream.loop.delivery.state import decode as decode_state
from stream.stages.shared.state_codec import encode as encode_state
from stream.wire import Event, ModelRecord, RetrainingRecord, RouteRecord, decode, partition_for, version_key
from stream.wire.route_files import BASE, RouteOverride

pytestmark = pytest.mark.kafka
TENANTS = {"*": {"loop": {"delivery": {"shadow_share": 0.0, "steps": [50, 100], "min_events": 30}}}}


async def log_of(kafka, topic, kind):
    found = []
    async for record in Tail(kafka.client_options(), topic, follow=False).records():
        event = decode(record.value, record.headers)
        if isinstance(event.data, kind):
            found.append(event)
    return found


async def states_of(kafka):
    return [(e.data.state, e.id) for e in await log_of(kafka, kafka.names.retraining, RetrainingRecord)]


@contextlib.asynccontextmanager
async def delivery(home, kafka, registry=None, health=None, spans=None, **options):
    provider = TracerProvider()
    if spans is not None:
        provider.add_span_processor(SimpleSpanProcessor(spans))
    stop, health = asyncio.Event(), {} if health is None else health
    running = asyncio.create_task(
        run_delivery(
            home=home,
            kafka=kafka,
            tenants=TENANTS,
            registry=registry or CollectorRegistry(),
            tracer_provider=provider,
            **options,
            stop=stop,
            health=health,
        )
    )
    try:
        yield running
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)


def weights(home):
    routes = read_routes(home)
    return routes[0].weights if routes else None


async def begin_canary(kafka, to, home):
    await bless(kafka, to)
    await until("the canary begins", lambda: weights(home) == {BASE: 50, M1: 50})


async def test_a_blessed_version_becomes_a_canary_and_a_bad_one_is_rolled_back(tmp_path, embedded_broker):
    kafka, registry = await fresh_topics(embedded_broker.bootstrap), CollectorRegistry()
    async with sender(kafka) as to, delivery(tmp_path, kafka, registry):
        await begin_canary(kafka, to, tmp_path)
        await answers(kafka, to, 1, 60)
        await until("the rollback", lambda: weights(tmp_path) == {BASE: 100})
    records = await log_of(kafka, kafka.names.retraining, RetrainingRecord)
    assert [event.data.state for event in records] == ["blessed", "canary", "rolled_back"]
    numbers = records[-1].data.numbers
    assert numbers["repetition.flagged"] == numbers["repetition.events"] > 3
    assert records[-1].data.at < START + 60
    assert [event.data.epoch for event in await log_of(kafka, kafka.names.models, RouteRecord)] == [1, 2]
    assert (tmp_path / "routes.json").stat().st_mode & 0o777 == 0o600
    assert registry.get_sample_value("weir_delivery_decisions_total", {"state": "rolled_back"}) == 1
    assert registry.get_sample_value("weir_route_weight", {"tenant": "acme", "model": "m", "role": "challenger"}) == 0


async def test_a_version_whose_requests_fail_is_rolled_back_although_its_other_answers_are_good(
    tmp_path, embedded_broker
):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    async with sender(kafka) as to, delivery(tmp_path, kafka):
        await begin_canary(kafka, to, tmp_path)
        await ends(kafka, to, 1, 40, status="error")
        await answers(kafka, to, 1, 200, flagged=False)
        await until("the rollback", lambda: weights(tmp_path) == {BASE: 100})
    last = (await log_of(kafka, kafka.names.retraining, RetrainingRecord))[-1].data
    assert last.state == "rolled_back"
    assert last.reason.startswith("failure: ")
    assert "answers of the challenger are failed or empty, 0 of" in last.reason
    assert last.numbers["repetition.flagged"] == 0


async def test_a_good_version_is_promoted_and_is_the_champion_in_mlflow(tmp_path, embedded_broker):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    written = tmp_path / "champions"
    program = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + chr(10)); print('[]')"
    command = [sys.executable, "-c", program, str(written)]
    async with sender(kafka) as to, delivery(tmp_path, kafka, champion_command=lambda change: [*command, change]):
        await begin_canary(kafka, to, tmp_path)
        await answers(kafka, to, 1, 200, flagged=False)
        await until("the promotion", lambda: weights(tmp_path) == {M1: 100})
        last = [["acme", "m", M1]]
        await until("the alias", lambda: written.exists() and json.loads(written.read_text().splitlines()[-1]) == last)
    assert [state for state, _ in await states_of(kafka)][-1] == "promoted"


_STEP = """
import asyncio, os, sys
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry
from stream.loop.delivery import agent
from stream.settings import KafkaSettings
import json, pathlib

home, options, tenants, point, count = sys.argv[1:]
left = int(count)

def dies(name, real):
    def sync(*given, **named):
        global left
        result = real(*given, **named)
        if point == name:
            left -= 1
            if not left:
                os.kill(os.getpid(), 9)
        return result
    async def waits(*given, **named):
        global left
        result = await real(*given, **named)
        if point == name:
            left -= 1
            if not left:
                os.kill(os.getpid(), 9)
        return result
    return waits if asyncio.iscoroutinefunction(real) else sync

for name in ("publish", "write_routes", "replace_file"):
    setattr(agent, name, dies(name, getattr(agent, name)))

async def main():
    stop = asyncio.Event()
    await agent.run_delivery(home=pathlib.Path(home), kafka=KafkaSettings(**json.loads(options)),
        tenants=json.loads(tenants), registry=CollectorRegistry(), tracer_provider=NoOpTracerProvider(),
        stop=stop, health={})

asyncio.run(main())
"""


def start(home, kafka, point="", count=0):
    options = {
        name: getattr(kafka, name) for name in ("bootstrap_servers", "topic_prefix", "partitions", "stream_partitions")
    }
    command = [sys.executable, "-c", _STEP, str(home), json.dumps(options), json.dumps(TENANTS), point, str(count)]
    return subprocess.Popen(command, env=os.environ)


BEFORE_THE_CANARY = {("publish", 1), ("publish", 2), ("write_routes", 2)}


#: Publishes 1 and 2 are the state and the route of the canary, 3 and 4 those of the rollback. Delivery writes the first file at its start.
@pytest.mark.parametrize(
    ("point", "count"),
    [("publish", 1), ("publish", 2), ("publish", 3), ("publish", 4), ("write_routes", 2), ("write_routes", 3)],
)
async def test_kill_9_between_any_two_writes_gives_one_decision_and_its_route(tmp_path, embedded_broker, point, count):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    async with sender(kafka) as to:
        await bless(kafka, to)
        first = start(tmp_path, kafka, point, count)
        try:
            if (point, count) not in BEFORE_THE_CANARY:
                await until("the canary begins", lambda: weights(tmp_path) == {BASE: 50, M1: 50})
                await answers(kafka, to, 1, 60)
            assert await asyncio.to_thread(first.wait, 60) == -signal.SIGKILL
        finally:
            first.kill()
        async with delivery(tmp_path, kafka):
            await until("the canary's verdicts are sent", lambda: bool(read_routes(tmp_path)))
            if weights(tmp_path) != {BASE: 100}:
                await answers(kafka, to, 60, 120)
            await until("the rollback", lambda: weights(tmp_path) == {BASE: 100})
            await asyncio.sleep(0.5)
    states = await states_of(kafka)
    assert [state for state, _ in dict.fromkeys(states)] == ["blessed", "canary", "rolled_back"], (
        "equal decisions have equal ids"
    )
    routes = await log_of(kafka, kafka.names.models, RouteRecord)
    assert sorted({(event.id, event.data.epoch) for event in routes}, key=lambda pair: pair[1]) == [
        (routes[0].id, 1),
        (routes[-1].id, 2),
    ]
    assert [event.data.epoch for event in routes] == sorted(event.data.epoch for event in routes)


async def test_kill_9_at_random_moments_of_a_canary_keeps_its_route_and_gives_one_decision(tmp_path, embedded_broker):
    kafka, draw, sent = await fresh_topics(embedded_broker.bootstrap), random.Random(9), 1
    async with sender(kafka) as to:
        await bless(kafka, to)
        for _ in range(3):
            process = start(tmp_path, kafka)
            try:
                await until("the canary begins", lambda: weights(tmp_path) == {BASE: 50, M1: 50})
                route = (tmp_path / "routes.json").read_bytes()
                following = sent + draw.randrange(3, 8)  # fewer than `min_events` in total
                await answers(kafka, to, sent, following, flagged=False)
                sent = following
                await asyncio.sleep(draw.random())
            finally:
                process.kill()
                process.wait()
            assert (tmp_path / "routes.json").read_bytes() == route
        async with delivery(tmp_path, kafka):
            await answers(kafka, to, sent, sent + 60)
            await until("the rollback", lambda: weights(tmp_path) == {BASE: 100})
    states = [event.data for event in await log_of(kafka, kafka.names.retraining, RetrainingRecord)]
    assert [one.state for one in states] == ["blessed", "canary", "rolled_back"]
    assert states[-1].numbers["repetition.flagged"] > 0


async def test_the_first_verdicts_of_a_partition_count_if_published_while_delivery_is_down(tmp_path, embedded_broker):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    async with sender(kafka) as to:
        async with delivery(tmp_path, kafka):
            await begin_canary(kafka, to, tmp_path)
        await answers(kafka, to, 1, 60)
        async with delivery(tmp_path, kafka):
            await until("the rollback", lambda: weights(tmp_path) == {BASE: 100})


async def test_without_stored_state_a_canary_continues_and_ended_requests_do_not_restart(tmp_path, embedded_broker):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    async with sender(kafka) as to:
        async with delivery(tmp_path, kafka):
            await begin_canary(kafka, to, tmp_path)
            await answers(kafka, to, 1, 60)
            await until("the rollback", lambda: weights(tmp_path) == {BASE: 100})
            await bless(kafka, to, blessed("m_222222222222", "rt_2"))
            await until("the second canary", lambda: weights(tmp_path) == {BASE: 50, "m_222222222222": 50})
        state_path(tmp_path).unlink()
        (tmp_path / "routes.json").unlink()
        async with delivery(tmp_path, kafka):
            await until("the routes are restored", lambda: weights(tmp_path) == {BASE: 50, "m_222222222222": 50})
            await asyncio.sleep(1)
    assert [state for state, _ in await states_of(kafka)] == ["blessed", "canary", "rolled_back", "blessed", "canary"]


async def test_a_version_that_was_blessed_on_new_topics_while_delivery_was_down_is_delivered(tmp_path, embedded_broker):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    async with sender(kafka) as to:
        async with delivery(tmp_path, kafka):
            await until("delivery has stored its state", state_path(tmp_path).exists)
        state = decode_state(state_path(tmp_path).read_bytes())
        state.offsets = {topic: {0: 10_000, 1: 10_000} for topic in (kafka.names.retraining, kafka.names.verdicts)}
        state_path(tmp_path).write_bytes(encode_state(state))  # as if earlier topics had more records
        await bless(kafka, to)
        async with delivery(tmp_path, kafka):
            await until("the canary begins", lambda: weights(tmp_path) == {BASE: 50, M1: 50})
            await answers(kafka, to, 1, 60)
            await until("the rollback", lambda: weights(tmp_path) == {BASE: 100})


async def test_a_version_whose_files_were_removed_while_delivery_was_down_expires_on_the_log(tmp_path, embedded_broker):
    """Otherwise the route changes only in routes.json, and the request blocks other requests for ever."""
    kafka = await fresh_topics(embedded_broker.bootstrap)
    data = ModelRecord(tenant="acme", model="m", version=M1, at=START + 5, removed=True)
    key = version_key("acme", "m", M1)
    removal = Event(id=key, source="test", type=data.event_type, time=data.at, data=data, partitionkey=key)
    async with sender(kafka) as to:
        async with delivery(tmp_path, kafka):
            await begin_canary(kafka, to, tmp_path)
        await to.send(kafka.names.models, removal, partition=partition_for(KEY, kafka.stream_partitions))
        async with delivery(tmp_path, kafka):
            await until("the canary ends", lambda: weights(tmp_path) == {BASE: 100})
    assert [state for state, _ in await states_of(kafka)] == ["blessed", "canary", "expired"]
    assert [event.data.epoch for event in await log_of(kafka, kafka.names.models, RouteRecord)] == [1, 2]


async def test_the_spans_of_routes_are_in_the_trace_of_the_gate_with_ids_and_numbers_only(tmp_path, embedded_broker):
    kafka, spans = await fresh_topics(embedded_broker.bootstrap), InMemorySpanExporter()
    async with sender(kafka) as to, delivery(tmp_path, kafka, spans=spans):
        await begin_canary(kafka, to, tmp_path)
        add_override(
            tmp_path,
            RouteOverride(tenant="acme", model="m", version=BASE, at=time.time(), by="jo", reason="jo's words"),
        )
        await until("the override is published", lambda: not read_overrides(tmp_path))
    found = spans.get_finished_spans()
    assert [span.name for span in found] == ["retraining canary", "route", "retraining rolled_back", "route"]
    assert {f"{span.context.trace_id:032x}" for span in found} == {TRACE}
    assert [f"{span.parent.span_id:016x}" for span in found[::2]] == [GATE[36:52]] * 2
    assert [span.parent.span_id for span in found[1::2]] == [span.context.span_id for span in found[::2]]
    assert found[0].attributes["weir.retraining.percent"] == 50
    assert found[-1].attributes["weir.route.epoch"] == 2
    assert "jo" not in str([dict(span.attributes) for span in found])
    (route, _) = await log_of(kafka, kafka.names.models, RouteRecord)
    assert route.traceparent[3:52] == f"{TRACE}-{found[1].context.span_id:016x}"


async def test_an_mlflow_that_hangs_delays_no_route(tmp_path, embedded_broker):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    hangs = [sys.executable, "-c", "import time; time.sleep(600)"]
    async with sender(kafka) as to, delivery(tmp_path, kafka, champion_command=lambda change: [*hangs, change]):
        await begin_canary(kafka, to, tmp_path)
        await answers(kafka, to, 1, 60)
        await until("the rollback", lambda: weights(tmp_path) == {BASE: 100})


async def test_an_operators_decision_waits_for_kafka_and_is_published_once(tmp_path, embedded_broker):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    async with sender(kafka) as to:
        async with delivery(tmp_path, kafka):
            await begin_canary(kafka, to, tmp_path)
        away, health = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"}), {}
        order = RouteOverride(tenant="acme", model="m", version=BASE, at=time.time(), by="jo", reason="wrong")
        add_override(tmp_path, order)
        async with delivery(tmp_path, away, health=health):
            await until("delivery waits for Kafka", lambda: "waiting for kafka" in health)
        assert read_overrides(tmp_path) == (order,)
        async with delivery(tmp_path, kafka):
            await until("the override is published", lambda: not read_overrides(tmp_path))
    assert weights(tmp_path) == {BASE: 100}
    last = (await log_of(kafka, kafka.names.models, RouteRecord))[-1].data
    assert (last.by, last.reason, last.epoch) == ("jo", "wrong", 2)
    assert [state for state, _ in await states_of(kafka)] == ["blessed", "canary", "rolled_back"]


async def test_a_full_disk_is_named_instead_of_kafka(tmp_path, embedded_broker, monkeypatch):
    kafka, health = await fresh_topics(embedded_broker.bootstrap), {}

    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as disk:
        disk.setattr(agent, "replace_file", full)
        async with delivery(tmp_path, kafka, health=health):
            await until("delivery waits", lambda: any(name.startswith("waiting") for name in health))
            (reason,) = health.items()
            disk.undo()
            await until("delivery continues", lambda: not health)
    assert reason[0] == "waiting for the disk"
    assert reason[1].startswith(
        f"{state_path(tmp_path)} cannot be read or written: No space left on device; free space"
    )


async def test_invalid_settings_of_a_tenant_do_not_stop_the_others(tmp_path, embedded_broker, monkeypatch):
    monkeypatch.setitem(TENANTS, "globex", {"loop": {"delivery": {"steps": [100]}}})
    kafka, health = await fresh_topics(embedded_broker.bootstrap), {}
    async with sender(kafka) as to, delivery(tmp_path, kafka, health=health):
        await bless(kafka, to, blessed(identity="rt_2", tenant="globex"))
        await begin_canary(kafka, to, tmp_path)
    routes = {route.tenant: route.weights for route in read_routes(tmp_path)}
    assert routes == {"acme": {BASE: 50, M1: 50}, "globex": {BASE: 100}}
    assert "set shadow_share, or add a step" in health["waiting for settings of tenant globex"]


@pytest.mark.parametrize("harm", [lambda path: path.write_text("{"), Path.unlink], ids=["damaged", "gone"])
async def test_a_running_delivery_writes_routes_again_that_were_damaged_or_deleted(tmp_path, embedded_broker, harm):
    """Without the file, every tenant's champion would be the base version."""
    kafka, path = await fresh_topics(embedded_broker.bootstrap), tmp_path / "routes.json"
    async with sender(kafka) as to, delivery(tmp_path, kafka):
        await begin_canary(kafka, to, tmp_path)
        written = path.read_bytes()
        harm(path)
        await until("the routes are back", lambda: path.exists() and path.read_bytes() == written)


async def test_two_processes_do_not_decide_in_one_home(tmp_path, embedded_broker):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    async with delivery(tmp_path, kafka) as running:
        await until("delivery runs", lambda: state_path(tmp_path).exists() or running.done())
        with pytest.raises(StreamError, match="another delivery process runs in"):
            async with delivery(tmp_path, kafka):
                pass
