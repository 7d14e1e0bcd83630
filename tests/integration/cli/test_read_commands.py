"""The commands as a user runs them, in separate processes, with a broker and a ledger."""

import asyncio
import contextlib
import json
import signal

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from support.alert_records import alert, event, resolved
from support.cases import cases
from support.commands import Commands
from support.console_server import send_drift
from support.kafka_log import fresh_topics, sender, until
from support.ledger_log import end, request, verdict
from support.running_ledger import running_ledger

from weir.demo.prompts import ORDINARY

pytestmark = pytest.mark.kafka
CASES = cases(__file__)


@contextlib.asynccontextmanager
async def staged(broker, tmp_path):
    kafka = await fresh_topics(broker.bootstrap)
    (tmp_path / "ports.json").write_text("{}")
    async with running_ledger(tmp_path, kafka) as reader:
        yield kafka, Commands(tmp_path, kafka), reader


@pytest.fixture
async def stage(broker, tmp_path):
    async with staged(broker, tmp_path) as parts:
        yield parts


@pytest.fixture
async def embedded_stage(embedded_broker, tmp_path):
    async with staged(embedded_broker, tmp_path) as parts:
        yield parts


async def commit(kafka, group, topic, offset):
    consumer = AIOKafkaConsumer(**kafka.client_options(), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.commit({partition: offset})
    finally:
        await consumer.stop()


async def test_show_prints_the_text_status_the_lag_and_rebuild_the_coverage(stage, tmp_path):
    kafka, commands, reader = stage
    question, answer = (
        make("r1", at, owed=("pii",), conversation_id="c1") for make, at in ((request, 10.0), (end, 11.0))
    )
    later = request("r2", 12.0, owed=(), conversation_id="c1", text="canary-later")
    async with sender(kafka) as to:
        await to.send(kafka.names.inference, request("r0", 9.0, owed=()), question, answer, later)
        await to.send(kafka.names.verdicts, verdict(question, "pii"), verdict(answer, "pii"))
    await until("coverage", lambda: reader.exists() and reader.coverage().total.settled == 2)

    shown = await commands.run("show", "r1", "--text", "--json")
    text = json.loads(shown.stdout)["text"]
    assert (text["prompt"], text["answer"]) == ("canary-prompt", "canary-answer")
    assert "access.log" in shown.stderr
    entry = json.loads((tmp_path / "logs" / "access.log").read_text())
    assert entry["request_id"] == "r1"
    shown = await commands.run("show", "r1", "--text")
    assert "canary-prompt" in shown.stdout
    assert "canary" not in (await commands.run("show", "r1")).stdout

    shown = await commands.run("show", "--conversation", "c1", "--text")
    places = [shown.stdout.index(text) for text in ("canary-prompt", "canary-answer", "canary-later")]
    assert places == sorted(places)
    accesses = [json.loads(line) for line in (tmp_path / "logs" / "access.log").read_text().splitlines()]
    assert [entry["request_id"] for entry in accesses] == ["r1", "r1", "r1", "r2"]
    assert "canary" not in (await commands.run("show", "--conversation", "c1")).stdout

    await commit(kafka, f"{kafka.topic_prefix}score", kafka.names.inference, 3)
    status = json.loads((await commands.run("status", "--json")).stdout)
    assert status["lag_by_consumer"][f"{kafka.topic_prefix}score"] == {kafka.names.inference: 1}
    assert status["lag"][kafka.names.inference] == 1
    assert status["lag"][kafka.names.signals] == 0
    assert status["coverage"]["ratio"] == 1.0

    rebuilt = await commands.run("ledger", "rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "2 of 2 expected verdicts completed" in rebuilt.stderr


@pytest.mark.timeout(400)  # the process of the command loads the encoder
async def test_explain_reads_the_text_and_prints_the_weight_of_each_word(embedded_stage, tmp_path):
    kafka, commands, reader = embedded_stage
    toxic = "The weather is fine. You are a worthless idiot."
    question = request("r1", 10.0, text=toxic, owed=("toxicity",))
    async with sender(kafka) as to:
        await to.send(kafka.names.inference, question, end("r1", 11.0, owed=()))
        await to.send(kafka.names.verdicts, verdict(question, "toxicity", flagged=True, label="toxic"))
    await until("coverage", lambda: reader.exists() and reader.coverage().total.settled == 1)

    printed = await commands.run("explain", "r1/request", "--method", "occlusion", "--json", "--text", seconds=240)
    assert printed.returncode == 0, printed.stderr
    (explanation,) = json.loads(printed.stdout)
    assert explanation["text"] == toxic
    assert (explanation["detector"], explanation["side"], explanation["version"]) == ("toxicity", "input", "1")
    worst = max(explanation["attributions"], key=lambda one: one["weight"])
    assert toxic[worst["start"] : worst["end"]] in {"worthless", "idiot."}
    entry = json.loads((tmp_path / "logs" / "access.log").read_text())
    assert (entry["command"], entry["request_id"]) == ("weir explain", "r1")

    refused = await commands.run("explain", "r1/end")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "`weir show r1`" in refused.stderr


async def test_show_describes_the_cluster_of_a_drift_alert_from_the_texts(embedded_stage, tmp_path):
    kafka, commands, reader = embedded_stage
    await send_drift(kafka, ORDINARY[:20], [f"Why does my SQL query number {n} lock the table?" for n in range(4)])
    await until("the alert", lambda: reader.exists() and (story := reader.request("recent0")) and story.alerts)
    (found,) = json.loads((await commands.run("show", "recent0", "--text", "--json")).stdout)["cluster_terms"].values()
    assert (found["texts"], found["reference_texts"]) == (4, 20)
    assert {"sql", "query", "table"} <= {one["term"] for one in found["terms"]}
    assert "typical terms: " in (await commands.run("show", "recent0", "--text")).stdout
    entries = [json.loads(line) for line in (tmp_path / "logs" / "access.log").read_text().splitlines()]
    assert len({entry["request_id"] for entry in entries}) == 24
    assert json.loads((await commands.run("show", "recent0", "--json")).stdout)["cluster_terms"] == {}


async def test_alerts_are_printed_and_followed_until_ctrl_c(embedded_stage):
    kafka, commands, _ = embedded_stage
    async with sender(kafka) as to:
        await to.send(kafka.names.alerts, event(alert("al_1", runbook="")))
        once = await commands.run("alerts", "--json")
        (line,) = once.stdout.splitlines()
        printed = json.loads(line)
        assert sorted(printed) == sorted(CASES["alert_fields"])
        following = await commands.start("alerts", "--follow", "--since", "1h")
        with contextlib.suppress(ProcessLookupError):
            try:
                async with asyncio.timeout(30):
                    assert b"firing" in await following.stdout.readline()
                    await to.send(kafka.names.alerts, event(resolved("al_1", runbook="")))
                    assert b"resolved" in await following.stdout.readline()
                following.send_signal(signal.SIGINT)
                _, errors = await asyncio.wait_for(following.communicate(), 20)
                assert (following.returncode, errors) == (0, b"")
            finally:
                if following.returncode is None:
                    following.kill()
                    await following.wait()


async def test_retraining_without_events_prints_a_note(embedded_stage):
    _, commands, _ = embedded_stage
    result = await commands.run("retraining", "--since", "1h")
    assert (result.returncode, result.stdout) == (0, "")
    assert "no retraining events since 1h" in result.stderr
    bad = await commands.run("retraining", "--since", "soon")
    assert bad.returncode == 1
    assert "30s, 10m, 2h" in bad.stderr
