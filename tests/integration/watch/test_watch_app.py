"""The watch app on real brokers: records of score become alerts and a request, each once, on the expected partitions."""

import time
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic
from support.alert_records import alert, silence
from support.alert_records import event as event_of
from support.demo_log import START, TENANT, demo_log
from support.kafka_log import sender
from support.signal_log import MODEL, finding_of, score_tick
from support.stage_lab import P, Q
from support.watch_chain import Chain
from support.watch_lab import WatchLab

from stream.kafka.clients import admin_for
from stream.kafka.time_ranges import data_range
from stream.stages.watch_app import stream_detectors
from stream.wire import AlertRecord, FindingRecord, RetrainingRecord, Tick, format_time, partition_for, tenant_model_key

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]  # the group waits 45 s for a member that ended
TENANTS = tomllib.loads((Path(__file__).parents[3] / "weir.toml").read_text())["tenants"]


@pytest.fixture
async def lab(broker, tmp_path) -> WatchLab:
    return await WatchLab(broker.bootstrap, tmp_path, TENANTS).create()


@pytest.fixture
async def apache(apache_broker, tmp_path) -> WatchLab:
    return await WatchLab(apache_broker.bootstrap, tmp_path, TENANTS).create()


async def settled(lab, app):
    """Wait until everything on the stage's topics is committed."""

    async def all_committed():
        behind.clear()
        await app.consumer.commit()
        for topic in (lab.names.signals, lab.names.findings, lab.names.alerts, lab.names.retraining):
            records = await lab.read(topic, Q)
            for partition in range(Q):
                count = len([record for record in records if record.partition == partition])
                done = await lab.committed(app.conf.id, topic, partition) or 0
                if done < count:
                    behind.append(f"{topic}/{partition}: {done} of {count}")
        return not behind

    behind: list[str] = []
    try:
        await lab.eventually(all_committed, 40)
    except AssertionError:
        pytest.fail(f"not committed after 40 s: {behind}")


def silences():
    """Yield a silence for each kind of alert that the log of the demo causes, in force the whole time."""
    for side in ("input", "output"):
        for detector, feature in (("pii", ""), ("toxicity", ""), ("drift", "embedding")):
            muted = alert("al_before", tenant=TENANT, model=MODEL, side=side, detector=detector, feature=feature)
            yield event_of(silence(muted, 0.0, START + 3600.0))


async def test_signals_and_findings_become_alerts_and_a_request(lab):
    """Silences mute only notifications. They change no alert and no decision."""
    log = demo_log(1)
    async with sender(lab.kafka) as to:
        partition = partition_for(tenant_model_key(TENANT, MODEL), Q)
        await to.send(lab.names.alerts, *silences(), partition=partition)
    await lab.publish([b"no event", *log])
    async with lab.watching() as app:

        async def requested():
            return "requested" in [record.state for record in await lab.decisions()]

        await lab.eventually(requested, 60)
        await settled(lab, app)
        assert app.held[lab.names.signals]() == 0
    await check_second_run(lab)
    alerts = await lab.alerts()
    assert {"pii", "toxicity", "drift"} <= {record.detector for record in alerts}
    assert {record.alert_id for record in alerts} == expected_ids(log)
    pairs = [(record.alert_id, record.revision) for record in alerts]
    assert len(pairs) == len(set(pairs))
    await check_places(lab)
    check_traces(lab, await lab.records(lab.names.retraining, RetrainingRecord))
    assert len(await lab.read(lab.names.dead_letters)) == 1
    assert lab.registry.get_sample_value("weir_dead_letters_total", {"stage": "watch", "disposition": "decode"}) == 1
    assert lab.registry.get_sample_value("weir_retraining_decisions_total", {"state": "requested"}) == 1


async def check_second_run(lab):
    """Check that a second worker publishes no alert, no decision and no span."""
    before = await lab.alerts(), await lab.decisions()
    registry, spans = lab.registry, lab.exporter.get_finished_spans()
    async with lab.watching() as app:
        await settled(lab, app)
    assert (await lab.alerts(), await lab.decisions()) == before
    assert lab.exporter.get_finished_spans() == spans
    lab.registry = registry


def expected_ids(log):
    """Return the alert ids that the stages compute without Kafka."""
    return {event.data.alert_id for event in Chain(TENANTS, stream_detectors).run(log).alerts}


async def check_places(lab):
    """Check that every record is on the partition of its key, or of its (tenant, model)."""
    place = partition_for(tenant_model_key(TENANT, MODEL), Q)
    for record, event in await lab.records(lab.names.alerts, AlertRecord):
        assert record.partition == place
        assert record.key == event.data.alert_id.encode()
    for record, event in await lab.records(lab.names.retraining, RetrainingRecord):
        assert record.partition == place
        assert record.key == tenant_model_key(TENANT, MODEL).encode()
        assert event.causationid in event.data.alert_ids
        if event.data.state == "requested":
            assert [pin.topic for pin in event.data.pins] == [lab.names.verdicts, lab.names.feedback]
            assert {"settings", "weir"} <= event.data.versions.keys()
    for record, event in await lab.records(lab.names.findings, FindingRecord):
        assert record.partition == partition_for(event.partitionkey, Q)
    ticks = [(record.partition, event.data) for record, event in await lab.records(lab.names.findings, Tick)]
    assert {partition for partition, _ in ticks} == set(range(Q))
    for partition in range(Q):
        times = [tick.watermark for place, tick in ticks if place == partition]
        assert times == sorted(set(times))
        assert all(later - earlier >= 1 for earlier, later in pairwise(times))


def check_traces(lab, decisions):
    """Check that the evidence, the alert that completes the conditions, and the decision are in one trace."""
    spans = {span.context.span_id: span for span in lab.exporter.get_finished_spans()}
    (event,) = [event for _, event in decisions if event.data.state == "requested"]
    decision = spans[int(event.traceparent.split("-")[2], 16)]
    assert decision.name == "retraining requested"
    alert = spans[decision.parent.span_id]
    assert alert.name.startswith("alert ")
    assert alert.context.trace_id == decision.context.trace_id == alert.parent.trace_id
    assert decision.links


async def test_a_request_names_the_offsets_of_its_event_times(lab):
    """The records are produced 30 s after their event time, as after an outage; one is from a source whose clock is an hour fast."""
    start = time.time() - 600
    # The test sets the timestamps of the records.
    topic, own = f"{lab.names.inference}.timed", {"message.timestamp.type": "CreateTime"}
    async with admin_for(lab.kafka.client_options()) as admin:
        await admin.create_topics([NewTopic(topic, P, 1, topic_configs=own)])
    async with lab.producer() as producer:
        for number, fast in sorted([*((number, 0) for number in range(200)), (80, 3600)]):
            await producer.send_and_wait(
                topic,
                b"x",
                partition=number % P,
                timestamp_ms=int((start + number + 30) * 1000),
                headers=[("ce_time", format_time(start + number + fast).encode())],
            )
    options = lab.kafka.client_options()
    found = await data_range(options, topic, P, start + 40, start + 101.5, progress=list)
    assert found.topic == topic
    assert (found.first, found.last) == ({"0": 5, "1": 5}, {"0": 52, "1": 51})
    rest = await data_range(options, topic, P, start + 300, start + 400, progress=list)
    assert (rest.first, rest.last) == ({"0": 101, "1": 100}, {"0": 101, "1": 100})


async def test_unreadable_state_in_the_tables_is_rebuilt_from_the_log(apache):
    log = demo_log(3)
    half = len(log) // 2
    await apache.publish(log[:half])
    app = apache.watch_app()
    async with apache.running(app):
        await settled_signals(apache, app)
        for name in ("streams", "alerts", "retraining"):
            table = app.tables[name]
            for partition in range(Q):
                for key, _ in table.rows(partition):
                    await table.put(key, b"garbage", partition=partition)
    await apache.publish(log[half:])
    async with apache.watching() as app:
        await settled(apache, app)
    assert {record.alert_id for record in await apache.alerts()} == expected_ids(log)
    assert [record.state for record in await apache.decisions()].count("requested") == 1
    assert "detector reset" in [
        event.data.feature for _, event in await apache.records(apache.names.findings, FindingRecord)
    ]


async def settled_signals(lab, app):
    """Wait until every published tick is processed. The only unacknowledged events are then in open buckets."""

    async def nothing_but_held():
        tracker = app.consumer.tracker
        places = [tp for tp in tracker.partitions if app.topics.acks_enabled_for(tp.topic)]
        read = all((tracker.delivered(tp) or 0) == (app.consumer.highwater(tp) or 0) for tp in places)
        return read and tracker.open_count() == app.held[lab.names.signals]() and bool(app.tables["retraining"].data)

    await lab.eventually(nothing_but_held, 40)


def shown(lab, name):
    """Return the label sets of a gauge, from the registry of the worker in this process."""
    return [one.labels for metric in lab.registry.collect() for one in metric.samples if one.name == name]


async def test_a_rebalance_removes_the_series_of_partitions_that_another_worker_can_have(lab):
    async with lab.watching() as app:
        await lab.publish(demo_log(1))
        await settled(lab, app)
        assert len(shown(lab, "weir_watermark_lag_seconds")) == Q
        assert shown(lab, "weir_stream_statistic")
        async with lab.working():

            async def rebalanced():
                names = ("weir_watermark_lag_seconds", "weir_stream_statistic", "weir_stream_limit")
                return not any(shown(lab, name) for name in names)

            await lab.eventually(rebalanced, 90)


async def test_a_finding_that_is_late_before_a_restart_is_late_after_it(apache):
    """The worker that reads the finding did not read the tick before it."""
    lab = apache
    async with lab.watching() as app:
        await lab.publish(score_tick(partition, {"gateway": START}) for partition in range(P))

        async def ticked():
            return len(await lab.records(lab.names.findings, Tick)) == Q

        await lab.eventually(ticked, 40)
        await settled(lab, app)
    await lab.publish([finding_of("r1", START - 7200.0, "pii")])
    async with lab.watching():

        async def alerted():
            return bool(await lab.alerts())

        await lab.eventually(alerted, 40)
    (record,) = await lab.alerts()
    assert (record.opened_at, record.at) == (START - 7200.0, START)
