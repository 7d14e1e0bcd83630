import asyncio
import contextlib
import sqlite3
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support import alert_records
from support.events import closed, event_of, tick
from support.kafka_log import fresh_topics, sender, until
from support.ledger_log import end, forwarded, gap, verdict
from support.ledger_log import request as inference_request
from support.running_broker import start_broker

from stream.errors import LedgerBusy
from stream.ledger.database_files import LedgerFiles
from stream.ledger.queries.console_queries import LedgerPages
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.service import run_ledger
from stream.settings import LedgerSettings
from stream.wire import Feedback, LogRange, RetrainingRecord
from weir.client import Client
from weir.local.broker.kafka_jars import apache_available

pytestmark = pytest.mark.kafka


class Running:
    def __init__(self, directory, kafka, settings):
        self.directory = directory
        self.reader = LedgerReader(directory)
        self.registry = CollectorRegistry()
        self.health = {}
        self._stop = asyncio.Event()
        self._work = run_ledger(
            directory=directory,
            kafka=kafka,
            ledger=settings,
            registry=self.registry,
            tracer_provider=TracerProvider(),
            stop=self._stop,
            health=self.health,
        )

    async def __aenter__(self):
        self.task = asyncio.create_task(self._work)
        return self

    async def __aexit__(self, *_error):
        self._stop.set()
        await asyncio.wait_for(self.task, 20)

    async def totals(self, **wanted):
        def check():
            if not self.reader.exists():
                return None
            coverage = self.reader.coverage()
            total = coverage.total
            return coverage if all(getattr(total, name) == value for name, value in wanted.items()) else None

        return await until(f"coverage {wanted}", check)

    async def caught_up(self, after):
        def check():
            beat = self.reader.heartbeat()
            return beat if beat is not None and beat.caught_up and beat.wall_time > after else None

        return await until("the ledger is caught up", check)


def running(directory, kafka, **settings):
    return Running(directory, kafka, LedgerSettings(**settings))


def alert(alert_id="al_1", *, at=10.0, **more):
    return event_of(alert_records.alert(alert_id, opened_at=at, at=at, **more), f"{alert_id}/0", at, key=alert_id)


def retraining(*alert_ids):
    where = {"tenant": "acme", "model": "m", "at": 12.0, "data": LogRange(topic="weir.inference")}
    data = RetrainingRecord(retraining_id="rt_1", state="requested", reason="r", alert_ids=alert_ids, **where)
    return event_of(data, "rt_1", 12.0)


def inactive_source():
    """Return watch's alert about an inactive source."""
    own = {"tenant": "_weir", "detector": "silence", "model": "", "side": "", "feature": "s2"}
    return alert("al_silence", at=190.0, evidence=(), evidence_total=0, **own)


async def own_alerts(kafka):
    return [
        item
        async for item in Client(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka.topic_prefix).alerts(
            follow=False
        )
        if item.tenant == "_weir"
    ]


async def test_feedback_of_another_tenant_is_counted_but_is_not_a_review(apache_broker, tmp_path, monkeypatch):
    monkeypatch.setattr("stream.ledger.service._FEEDBACK_SECONDS", 0.1)
    kafka = await fresh_topics(apache_broker.bootstrap)
    async with running(tmp_path, kafka) as ledger, sender(kafka) as to:
        await to.send(kafka.names.alerts, alert())
        for number, (tenant, label) in enumerate([("acme", "wrong"), ("acme", "useless"), ("globex", "right")]):
            data = Feedback(request_id="r1", tenant=tenant, principal="key-1", label=label, alert_id="al_1")
            await to.send(kafka.names.feedback, event_of(data, f"f{number}", 20.0 + number))

        def rejected(reason):
            return ledger.registry.get_sample_value("weir_ledger_feedback_turned_away", {"reason": reason})

        await until("both rejections are counted", lambda: (rejected("tenant"), rejected("label")) == (1, 1))
        (review,) = LedgerPages(tmp_path).alert("al_1", 0.0).reviews
    assert (review.label, review.at) == ("wrong", 20.0)


async def test_event_time_is_correct_after_a_source_with_a_clock_ahead_restarts(broker, tmp_path):
    """`weir status` reads event time, and when event time last advanced, to report a source with a wrong clock."""
    kafka = await fresh_topics(broker.bootstrap)
    inference, days = kafka.names.inference, 30 * 86_400.0
    async with running(tmp_path, kafka) as ledger, sender(kafka) as to:

        async def at(time):
            def check():
                beat = ledger.reader.heartbeat() if ledger.reader.exists() else None
                return beat if beat is not None and beat.log_time == time else None

            return await until(f"event time {time}", check)

        await to.send(inference, tick(100.0), tick(100.0 + days, source="ahead"))
        before = await at(100.0 + days)
        await to.send(inference, closed(101.0 + days, source="ahead"), tick(102.0, source="restarted"))
        assert (await at(102.0)).advanced_at > before.advanced_at


async def test_events_verdicts_and_alerts_become_coverage_and_requests(broker, tmp_path):
    kafka = await fresh_topics(broker.bootstrap)
    names = kafka.names
    question, answer, quiet = inference_request("r1", 10.0), end("r1", 11.0), inference_request("r2", 10.5)
    async with running(tmp_path, kafka) as ledger, sender(kafka) as to:
        await to.raw(names.inference, b"no event at all")
        await to.send(names.inference, question, answer, gap("s1", 7, 9, ("r9",)))
        await to.send(names.inference, quiet, partition=1)
        flagged = verdict(question, "pii", flagged=True, label="pii")
        await to.send(names.verdicts, flagged, verdict(question, "toxicity"), verdict(answer, "pii"))
        await to.send(names.alerts, alert())
        await to.send(names.retraining, retraining("al_1"))
        coverage = await ledger.totals(owed=5, settled=3, pending=2)
        assert (coverage.requests, coverage.ends, coverage.gaps, coverage.skipped) == (2, 1, 3, {names.inference: 1})
        await to.send(names.verdicts, verdict(quiet, "pii"), verdict(quiet, "toxicity", label="error"), partition=1)
        coverage = await ledger.totals(owed=5, settled=5, errors=1, pending=0)
        assert coverage.total.ratio == 1.0
        await until("the retraining event", lambda: (s := ledger.reader.request("r1")) and s.retraining)
        story = ledger.reader.request("r1")
        assert [location.offset for location in story.events.locations] == [1, 2]
        assert [note.verdict.detector for note in story.events.verdicts] == ["pii", "toxicity", "pii"]
        assert (story.events.end.status, story.events.end.usage.total_tokens) == ("complete", 8)
        assert [item.alert_id for item in story.alerts] == ["al_1"]
        assert [item.retraining_id for item in story.retraining] == ["rt_1"]
        assert story.trace_id == "0af7651916cd43dd8448eb211c80319c"
        assert ledger.reader.request("r9").gap.reason == "full"
        assert ledger.reader.request("r2").alerts == ()
        assert ledger.reader.request("r0") is None


async def test_it_continues_at_its_offsets_and_a_rebuild_has_the_same_coverage(broker, tmp_path):
    kafka = await fresh_topics(broker.bootstrap)
    events = [inference_request(f"r{index}", 10.0 + index) for index in range(50)]
    async with sender(kafka) as to:
        await to.send(kafka.names.inference, *events[:30])
        async with running(tmp_path, kafka) as ledger:
            await ledger.totals(owed=60)
        await to.send(kafka.names.inference, *events[30:])
        await to.send(kafka.names.verdicts, *(verdict(event, "pii") for event in events))
        async with running(tmp_path, kafka) as ledger:
            before = await ledger.totals(owed=100, settled=50)
            await until(
                "20 events, 50 verdicts", lambda: ledger.registry.get_sample_value("weir_ledger_records_total") == 70
            )
            await ledger.caught_up(time.time())
            asked_at = time.time()
            LedgerFiles(tmp_path).request_rebuild()
            await until("a rebuild", lambda: ledger.registry.get_sample_value("weir_ledger_rebuilds_total") == 1)
            await ledger.caught_up(asked_at)
            assert ledger.reader.coverage() == before


REBUILT = {
    "another schema version": ("UPDATE meta SET value = '0' WHERE key = 'schema'", "UPDATE pairs SET owed = 77"),
    "a log that was created again": ("UPDATE offsets SET next = 900 WHERE topic LIKE '%.inference'",),
    "a longer log that was created again": ("UPDATE events SET event_id = 'r0/request'", "UPDATE pairs SET owed = 77"),
}


@pytest.mark.parametrize("changes", REBUILT.values(), ids=REBUILT)
async def test_files_of_another_version_or_log_are_rebuilt(embedded_broker, tmp_path, changes):
    kafka = await fresh_topics(embedded_broker.bootstrap)
    async with sender(kafka) as to:
        await to.send(kafka.names.inference, inference_request("r1", 10.0))
        async with running(tmp_path, kafka) as ledger:
            await ledger.totals(owed=2)
        with contextlib.closing(sqlite3.connect(tmp_path / "partition-0.db", isolation_level=None)) as database:
            for change in changes:
                database.execute(change)
        async with running(tmp_path, kafka) as ledger:
            await ledger.caught_up(time.time())
            await ledger.totals(owed=2)


async def test_alerts_about_missing_verdicts_and_lag_fire_and_resolve_and_an_alert_of_watch_stays(broker, tmp_path):
    kafka = await fresh_topics(broker.bootstrap)
    names, event = kafka.names, inference_request("r1", 100.0, owed=("pii",))
    async with running(tmp_path, kafka) as ledger, sender(kafka) as to:

        async def states(**wanted):
            def check():
                return wanted.items() <= {item.detector: item.state for item in latest.values()}.items()

            deadline = time.monotonic() + 60
            while True:
                found = await own_alerts(kafka)
                latest = {(item.detector, item.alert_id): item for item in found}
                if check():
                    return {item.detector: item for item in latest.values()}
                assert time.monotonic() < deadline, f"{wanted}: {found}"
                await asyncio.sleep(0.1)

        for partition in (0, 1):
            await to.send(names.inference, tick(100.0), tick(100.0, source="s2"), partition=partition)
        await to.send(names.inference, event)
        for partition in (0, 1):
            await to.send(names.inference, tick(200.0), tick(130.0, source="s2"), partition=partition)
        await to.send(names.verdicts, forwarded({"s1": 120.0, "s2": 120.0}))
        await to.send(names.verdicts, forwarded({"s1": 195.0, "s2": 130.0}, partition=1), partition=1)
        await to.send(names.alerts, inactive_source())
        fired = await states(coverage="firing", lag="firing", silence="firing")
        assert (fired["coverage"].evidence, fired["coverage"].severity) == (("r1",), "critical")
        assert fired["coverage"].trace_id
        assert fired["lag"].opened_at == 200.0
        await until("the alerts about Weir", lambda: len(ledger.reader.own_alerts()) == 3)
        await to.send(names.inference, tick(199.0, source="s2"))
        await to.send(names.verdicts, verdict(event, "pii"), forwarded({"s1": 200.0, "s2": 199.0}))
        resolved = await states(coverage="resolved", lag="resolved", silence="firing")
        assert {name: item.alert_id for name, item in resolved.items()} == {
            name: item.alert_id for name, item in fired.items()
        }
        asked_at = time.time()
        LedgerFiles(tmp_path).request_rebuild()
        await until("a rebuild", lambda: ledger.registry.get_sample_value("weir_ledger_rebuilds_total") == 1)
        await ledger.caught_up(asked_at)
        ids = {item.alert_id for item in await own_alerts(kafka)}
        assert ids == {item.alert_id for item in resolved.values()}, "a rebuild fires no alert"


async def test_it_waits_for_missing_topics_and_names_the_command(broker, tmp_path):
    kafka = (await fresh_topics(broker.bootstrap)).model_copy(update={"topic_prefix": "absent."})
    async with running(tmp_path, kafka) as ledger:
        reason = await until("a reason in the health", lambda: ledger.health.get("waiting for topics"))
        assert "absent.inference" in reason
        assert "weir topics create" in reason


async def test_files_of_a_partition_are_deleted_only_if_kafka_does_not_have_it(broker, tmp_path):
    """With too few partitions in the settings, the files would be lost, with requests that Kafka has deleted."""
    kafka = await fresh_topics(broker.bootstrap)
    async with running(tmp_path, kafka) as ledger:
        await ledger.caught_up(0.0)
    surplus = LedgerFiles(tmp_path).shard(1)
    async with running(tmp_path, kafka.model_copy(update={"partitions": 1})) as ledger:
        reason = await until("a reason in the health", lambda: ledger.health.get("waiting for topics"))
        assert "inference has 2 partitions, the settings require 1" in reason
        assert surplus.exists()
    async with running(tmp_path, await fresh_topics(broker.bootstrap, partitions=1)):
        await until("the file is deleted", lambda: not surplus.exists())


async def test_a_second_ledger_on_the_same_files_is_rejected(broker, tmp_path):
    kafka = await fresh_topics(broker.bootstrap)
    async with running(tmp_path, kafka) as ledger:
        await until("the files of the ledger", ledger.reader.exists)
        second = running(tmp_path, kafka)
        with pytest.raises(LedgerBusy, match="stop that process"):
            await second._work


@pytest.mark.parametrize("kind", ["apache", "embedded"])
async def test_it_waits_for_a_stopped_broker_and_continues(kind, tmp_path, request):
    if kind == "apache" and not apache_available():
        request.getfixturevalue("apache_broker")
    (tmp_path / "broker").mkdir()
    with start_broker(kind, tmp_path / "broker") as broker:
        kafka = await fresh_topics(broker.bootstrap)
        first, second = inference_request("r1", 10.0), inference_request("r2", 11.0)
        async with running(tmp_path / "ledger", kafka) as ledger:
            async with sender(kafka) as to:
                await to.send(kafka.names.inference, first)
            await ledger.totals(owed=2)
            if kind == "apache":
                broker.kill()
            else:
                broker.stop()  # the embedded broker saves once a second
            reason = await until("a reason in the health", lambda: ledger.health.get("waiting for kafka"), 60)
            assert broker.bootstrap in reason
            await asyncio.to_thread(ledger.reader.coverage)
            broker.start()
            async with sender(kafka) as to:
                await to.send(kafka.names.inference, second)
            await until("the second event", lambda: ledger.reader.coverage().total.owed == 4, 60)
            await until("no reason in the health", lambda: not ledger.health)
