"""The lease of a run: a run on a Ray cluster is interrupted if Kafka acknowledges no renewal."""

import asyncio
import sys

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from support.trainer_process import setup_of

from stream.loop.settings import TrainSettings
from stream.loop.training.job import TrainingJob, VersionFolder
from stream.loop.training.machine import Work
from stream.loop.training.manifest import VersionManifest
from stream.loop.training.metrics import TrainerMetrics
from stream.loop.training.run import Run
from stream.wire import RetrainingRecord

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
def run(tmp_path):
    folder = VersionFolder.of(tmp_path, "m_1")
    folder.path.mkdir(parents=True)
    manifest = VersionManifest(
        version="m_1", job=JOB, adapter_digest="", weights_digest="w", numbers={}, libraries={}, files={}
    )
    folder.manifest.write_bytes(msgspec.json.encode(manifest))
    folder.card.write_text("card")

    def start(broker, cluster):
        train = TrainSettings(lease_seconds=LEASE_SECONDS, cluster=cluster, address="127.0.0.1:1")
        setup = setup_of(tmp_path, tmp_path, train=train, gate_command=lambda _version: [sys.executable, "-c", GATE])
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
