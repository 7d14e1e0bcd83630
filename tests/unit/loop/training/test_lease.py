"""The lease of a run: a run on a Ray cluster is interrupted if Kafka acknowledges no renewal; a run that is stopped ends its lease."""

import asyncio
import sys

import msgspec
import pytest
from aiokafka.structs import TopicPartition
from prometheus_client import CollectorRegistry
from support.trainer_process import setup_of

from stream.loop.settings import LoopSettings, TrainSettings
from stream.loop.training import agent
from stream.loop.training.job import TrainingJob, VersionFolder
from stream.loop.training.machine import Work
from stream.loop.training.manifest import VersionManifest
from stream.loop.training.metrics import TrainerMetrics
from stream.loop.training.run import Run
from stream.settings import KafkaSettings
from stream.wire import RetrainingRecord, partition_for, tenant_model_key

LEASE_SECONDS = 1.5
JOB = TrainingJob(tenant="acme", model="m", base="b", base_digest="d", dataset="", dataset_digest="")
REQUEST = RetrainingRecord(retraining_id="rt_1", state="approved", tenant="acme", model="m", at=1.0, reason="")
#: A gate that runs for three lease durations.
GATE = f'import time; time.sleep({3 * LEASE_SECONDS}); print(\'{{"decision": {{"state": "blessed", "reason": ""}}, "numbers": {{}}}}\')'


class Broker:
    """A broker that acknowledges all records, or at most `dead_after` records; `records` contains the acknowledged
    records.
    """

    def __init__(self, dead_after=None):
        self.records, self._dead_after = [], dead_after

    async def publish(self, event):
        if self._dead_after is not None and len(self.records) >= self._dead_after:
            await asyncio.Event().wait()
        if isinstance(event.data, RetrainingRecord):
            self.records.append(event.data)


@pytest.fixture
def home(tmp_path):
    folder = VersionFolder.of(tmp_path, "m_1")
    folder.path.mkdir(parents=True)
    manifest = VersionManifest(
        version="m_1", job=JOB, adapter_digest="", weights_digest="w", numbers={}, libraries={}, files={}
    )
    folder.manifest.write_bytes(msgspec.json.encode(manifest))
    folder.card.write_text("card")
    return tmp_path


@pytest.fixture
def run(home):
    def start(broker, cluster):
        train = TrainSettings(lease_seconds=LEASE_SECONDS, cluster=cluster, address="127.0.0.1:1" * (cluster == "ray"))
        setup = setup_of(home, home, train=train, gate_command=lambda _version: [sys.executable, "-c", GATE])
        work = Work(request=REQUEST, epoch=1, model_version="m_1")
        return Run(setup, work, broker.publish, TrainerMetrics(CollectorRegistry())).run()

    return start


async def test_without_acknowledged_renewals_the_run_is_interrupted_and_publishes_no_final_state(run):
    broker = Broker(dead_after=1)
    assert await run(broker, "ray") == "interrupted"
    assert [record.state for record in broker.records] == ["trained"]


async def test_with_renewals_the_run_continues_past_its_first_lease(run):
    broker = Broker()
    assert await run(broker, "ray") == "blessed"
    *trained, last = broker.records
    assert last.at > trained[0].lease_until
    assert {(record.state, record.at) for record in trained} == {("trained", trained[0].at)}
    assert trained[-1].lease_until > trained[0].lease_until


async def test_a_local_run_continues_through_an_outage_of_kafka(run):
    broker = Broker(dead_after=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run(broker, "local"), 2 * LEASE_SECONDS)
    assert len(broker.records) == 1


async def test_no_renewal_follows_the_release_of_a_run_that_is_stopped(home):
    """A slow broker stores the last renewal when the producer stops; this must happen before the release."""
    records, renewing = [], asyncio.Event()

    async def publish(event):
        if isinstance(event.data, RetrainingRecord):
            try:
                if len(records) == 1 and not renewing.is_set():
                    renewing.set()
                    await asyncio.Event().wait()
            finally:
                records.append(event.data)

    gate = [sys.executable, "-c", "import time; time.sleep(600)"]
    setup = setup_of(home, home, train=TrainSettings(lease_seconds=LEASE_SECONDS), gate_command=lambda _version: gate)
    work = Work(request=REQUEST, epoch=1, model_version="m_1")
    run = Run(setup, work, publish, TrainerMetrics(CollectorRegistry()))
    run.start()
    await renewing.wait()
    await run.end()
    first, renewal, release = records
    assert first.lease_until < renewal.lease_until
    assert release.lease_until < renewal.lease_until


@pytest.mark.parametrize(("rejected", "states"), [(True, ["trained"]), (False, ["trained", "trained"])])
async def test_a_rejection_ends_the_run_and_its_trainer_publishes_nothing_more(home, monkeypatch, rejected, states):
    published = asyncio.Queue()
    kafka = KafkaSettings()
    gate = [sys.executable, "-c", "import time; time.sleep(600)"]
    setup = setup_of(home, home, gate_command=lambda _version: gate)
    trainer = agent._Trainer(kafka, setup, None, TrainerMetrics(CollectorRegistry()))
    trainer._publish = published.put
    monkeypatch.setattr(agent, "_caught_up", lambda _consumer, _partitions: asyncio.sleep(0, result=True))
    key = tenant_model_key(REQUEST.tenant, REQUEST.model)
    assigned = {TopicPartition(kafka.names.retraining, partition_for(key, kafka.stream_partitions))}
    for state in ("requested", "approved"):
        trainer._machine.apply(msgspec.structs.replace(REQUEST, state=state, model_version="m_1"))
    await trainer._step(None, assigned)
    events = [await published.get(), await published.get()]  # the version and the state
    if rejected:
        trainer._machine.apply(msgspec.structs.replace(REQUEST, state="rejected", at=2.0))
        await trainer._step(None, assigned)
        assert trainer._run is None
    else:
        await trainer.cancel()
    while not published.empty():
        events.append(published.get_nowait())
    assert [event.data.state for event in events if isinstance(event.data, RetrainingRecord)] == states


@pytest.mark.parametrize("command", ["gate_command", "dataset_command"])
async def test_a_gate_or_a_build_that_hangs_fails_and_frees_the_trainer(home, monkeypatch, command):
    monkeypatch.setattr("stream.loop.training.run._COMMAND_SECONDS", 0.1)
    hangs = [sys.executable, "-c", "import time; time.sleep(600)"]
    settings = LoopSettings(gate={"max_seconds": 0.1})
    setup = setup_of(home, home, settings=lambda _tenant: settings, **{command: lambda _name: hangs})
    version = "m_1" if command == "gate_command" else ""
    work, broker = Work(request=REQUEST, epoch=1, model_version=version), Broker()
    assert await Run(setup, work, broker.publish, TrainerMetrics(CollectorRegistry())).run() == "failed"
    assert "did not end within" in broker.records[-1].reason
