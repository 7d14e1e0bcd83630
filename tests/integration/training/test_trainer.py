"""The trainer on a real Kafka: states, leases, takeover after kill -9, failures, rejections."""

import asyncio
import contextlib
import sys

import psutil
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.gate_dataset import write_digests
from support.kafka_log import fresh_topics, published, sender, until
from support.tiny_gguf import save_tiny_gguf
from support.tiny_training import save_dataset
from support.trainer_process import DIGEST, SETTINGS, setup_of, trainer, trainer_process

from stream.kafka.tail import Tail
from stream.loop.training.by_hand import train_request
from stream.loop.training.checkpoints import newest_checkpoint
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import RunFolder
from stream.loop.training.signing import verify_version
from stream.wire import Event, ModelRecord, RetrainingRecord, decode, partition_for, tenant_model_key
from weir.home.api_keys import create_key
from weir.operate.retraining_decisions import Decider, decide, possible_decisions, records_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = f"00-{TRACE}-00f067aa0ba902b7-01"
KEY = tenant_model_key("acme", "tiny")


@pytest.fixture
def base(tmp_path):
    return save_tiny_gguf(tmp_path)


@pytest.fixture
def home(tmp_path):
    folder = save_dataset(tmp_path / "home" / "loop" / "datasets" / DIGEST)
    write_digests(
        folder, digest=DIGEST, tenant="acme", model="tiny", counts={"train": 24, "eval": 3, "dropped": {"pii": 2}}
    )
    return tmp_path / "home"


async def publish(kafka, state, at, *, name="rt_1", **fields):
    record = RetrainingRecord(retraining_id=name, state=state, reason="", tenant="acme", model="tiny", at=at, **fields)
    event = Event(
        id=f"{name}/{state}/{at}",
        source="test",
        type=record.event_type,
        time=at,
        data=record,
        traceparent=REQUEST,
        partitionkey=KEY,
    )
    async with sender(kafka) as to:
        await to.send(kafka.names.retraining, event, partition=partition_for(KEY, kafka.stream_partitions))


async def read(kafka, topic):
    tail = Tail(kafka.client_options(), topic, follow=False)
    return [decode(record.value, record.headers).data async for record in tail.records()]


async def reached(kafka, state, seconds=180):
    await published(kafka, kafka.names.retraining, lambda record: record.state == state, seconds)
    return await read(kafka, kafka.names.retraining)


async def test_no_command_trains_for_a_request_that_is_rejected(apache_broker, home, base):
    kafka = await fresh_topics(apache_broker.bootstrap)
    await publish(kafka, "requested", 1.0)
    await publish(kafka, "rejected", 2.0, by="k_boss")
    await publish(kafka, "approved", 2.0, by="k_other")
    with pytest.raises(TrainingError, match="rt_1 is rejected, and a rejection is final"):
        await train_request(setup_of(home, base), kafka, "rt_1", DIGEST, lambda _progress: None)
    assert {record.state for record in await read(kafka, kafka.names.retraining)} == {
        "requested",
        "rejected",
        "approved",
    }


async def test_a_second_trainer_continues_when_the_first_is_killed(apache_broker, tmp_path, home, base):
    kafka = await fresh_topics(apache_broker.bootstrap)
    await publish(kafka, "requested", 1.0, alert_ids=("al_1",))
    await publish(kafka, "approved", 2.0, by="k_boss")
    first = await trainer_process(kafka, home, base, tmp_path / "trainer.log")
    run = RunFolder.of(home, "rt_1")
    await until("the job of a run", run.job.exists, 120)
    key = run.read().weights_key()
    await until("a checkpoint", lambda: newest_checkpoint(run.checkpoints, key), 180)
    first.kill()
    await first.wait()

    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with trainer(kafka, setup_of(home, base, tracer=provider.get_tracer("test"))):
        records = await reached(kafka, "blessed")
    found = {span.name: span for span in spans.get_finished_spans()}
    assert {"retraining dataset", "retraining started", "retraining trained", "retraining blessed"} <= found.keys()
    gate = found["retraining blessed"]
    assert (f"{gate.context.trace_id:032x}", f"{gate.parent.span_id:016x}") == (TRACE, REQUEST[36:52])
    assert gate.attributes["weir.retraining.e_safe"] == 25.0
    assert "not worse" not in str(dict(gate.attributes))  # the reason
    mine = [record for record in records if record.by == "trainer"]
    by_epoch = {epoch: [record for record in mine if record.epoch == epoch] for epoch in (1, 2)}
    order = [record.state for record in by_epoch[2] if record.state != "progress"]
    building, *first = by_epoch[1]
    assert (building.state, building.reason) == ("progress", "building the dataset")
    assert [record.state for record in first if record.reason != building.reason][:3] == [
        "dataset",
        "started",
        "progress",
    ]
    assert list(dict.fromkeys(order)) == ["dataset", "started", "trained", "blessed"]
    assert by_epoch[2][0].at >= max(record.lease_until for record in by_epoch[1])
    assert by_epoch[2][0].numbers == {"train": 24.0, "eval": 3.0, "dropped.pii": 2.0}
    assert all(record.alert_ids == ("al_1",) for record in mine)
    assert {record.dataset_digest for record in mine if record.reason != building.reason} == {DIGEST}
    last = mine[-1]
    assert (last.reason, last.numbers) == ("not worse", {"e_safe": 25.0})

    (model,) = await read(kafka, kafka.names.models)
    assert isinstance(model, ModelRecord)
    manifest = verify_version(home, last.model_version)
    assert (model.version, model.retraining_id, model.parent) == (last.model_version, "rt_1", "base")
    assert (model.adapter_digest, model.weights_digest) == (manifest.adapter_digest, manifest.weights_digest)
    assert model.metrics["step"] == 36
    log = run.log.read_text()
    assert "question 1" not in log  # a prompt


async def test_a_second_trainer_takes_over_on_the_embedded_broker(embedded_broker, tmp_path, home, base):
    """This broker keeps a killed member in its group unless the next trainer removes it."""
    kafka = await fresh_topics(embedded_broker.bootstrap)
    await publish(kafka, "requested", 1.0)
    await publish(kafka, "approved", 2.0)
    first = await trainer_process(kafka, home, base, tmp_path / "trainer.log")
    await reached(kafka, "started")
    first.kill()
    await first.wait()

    async def taken_over():
        records = [record for record in await read(kafka, kafka.names.retraining) if record.by == "trainer"]
        return records if records[-1].epoch == 2 else None

    async with trainer(kafka, setup_of(home, base)):
        records = await until("a state of the second trainer", taken_over, 180)
    epochs = [record.epoch for record in records]
    assert epochs == sorted(epochs)
    second = records[epochs.index(2)]
    assert second.at >= max(record.lease_until for record in records if record.epoch == 1)


async def test_a_failure_is_published_and_a_new_approval_starts_the_request_again(apache_broker, home, base):
    kafka = await fresh_topics(apache_broker.bootstrap)
    refused = [sys.executable, "-c", "import sys; sys.exit('weir: 3 rows, the limit is 32')"]
    setup = setup_of(home, base, dataset_command=lambda _request: refused)
    await publish(kafka, "requested", 1.0)
    async with trainer(kafka, setup):
        await publish(kafka, "approved", 2.0)
        *_, failed = await reached(kafka, "failed", 60)
        assert "weir: 3 rows, the limit is 32" in failed.reason
        await publish(kafka, "approved", 3.0)

        async def failures():
            records = await read(kafka, kafka.names.retraining)
            return [record.epoch for record in records if record.state == "failed"] == [1, 2]

        await until("the second failure", failures)


async def test_nothing_starts_without_an_approval(apache_broker, home, base):
    kafka = await fresh_topics(apache_broker.bootstrap)
    await publish(kafka, "requested", 1.0)
    await publish(kafka, "rejected", 2.0)
    async with trainer(kafka, setup_of(home, base, dataset_command=lambda _request: ["/bin/false"])):
        await publish(kafka, "requested", 3.0, name="rt_2")
        await publish(kafka, "approved", 4.0, name="rt_2")
        records = await reached(kafka, "failed", 60)  # the later request was processed, so the first was read
    assert {record.retraining_id for record in records if record.by == "trainer"} == {"rt_2"}


@contextlib.asynccontextmanager
async def by_hand(kafka, setup):
    """Run `weir train --for`."""
    async with asyncio.TaskGroup() as group:
        training = group.create_task(train_request(setup, kafka, "rt_1", DIGEST, lambda _progress: None))
        yield
    assert training.result() == "rejected"


@pytest.mark.parametrize("start", [trainer, by_hand])
async def test_a_rejection_ends_a_training_that_runs(apache_broker, home, base, start):
    """The training would take its limit of 1800 s, and writes a checkpoint only at its end."""
    kafka = await fresh_topics(apache_broker.bootstrap)
    key, secret = create_key(home, "acme", ("approve",))
    decider = Decider(home=home, key=secret, command="test", tenants={})
    endless = SETTINGS.train.model_copy(update={"epochs": 1_000_000, "checkpoint_seconds": 1800})
    setup = setup_of(home, base, settings=lambda _tenant: SETTINGS.model_copy(update={"train": endless}))
    run = RunFolder.of(home, "rt_1")

    def processes():
        commands = {one: one.cmdline() for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE}
        return [one for one, command in commands.items() if str(run.path) in command]

    await publish(kafka, "requested", 1.0)
    await decide(kafka, "rt_1", "approved", decider)
    async with start(kafka, setup):
        await published(kafka, kafka.names.retraining, lambda record: "step" in record.numbers)
        assert len(processes()) == 1
        await decide(kafka, "rt_1", "rejected", decider, "wrong data")
        await until("the end of the process", lambda: not processes())
    records = await records_of(kafka, "rt_1")
    (rejection,) = (record for record in records if record.state == "rejected")
    assert (rejection.by, rejection.reason) == (key.id, "wrong data")
    assert newest_checkpoint(run.checkpoints, run.read().weights_key()) is not None
    assert {record.state for record in records} == {
        "requested",
        "approved",
        "dataset",
        "started",
        "progress",
        "rejected",
    }
    # The trainer may have renewed its lease before it read the rejection.
    assert {record.state for record in records[records.index(rejection) + 1 :]} <= {"progress"}
    assert possible_decisions(records) == (), "the rejection is final"
    assert await read(kafka, kafka.names.models) == [], "no version is delivered"
