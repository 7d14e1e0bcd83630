"""`weir train`: the run uses the dataset that the operator names."""

import asyncio
import json
import sys
import time
from unittest.mock import AsyncMock

import msgspec
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry
from support.log_tail import tail_of
from support.trainer_process import setup_of

from stream.errors import DatasetDamaged, no_kafka
from stream.loop.dataset.files import find, read_manifest
from stream.loop.settings import TrainSettings
from stream.loop.training import by_hand
from stream.loop.training import run as training_run
from stream.loop.training.by_hand import _with_dataset, _work, train_dataset, train_request
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import Trained, TrainingJob, VersionFolder
from stream.loop.training.machine import Work
from stream.loop.training.manifest import VersionManifest
from stream.loop.training.metrics import TrainerMetrics
from stream.loop.training.records import state_event
from stream.loop.training.run import Run
from stream.settings import KafkaSettings
from stream.wire import Event, ModelRecord, RetrainingRecord, encode
from weir.cli.train_version import train

REQUEST = RetrainingRecord(retraining_id="rt_1", state="requested", tenant="acme", model="m", at=1.0, reason="")
#: Work whose earlier owner trained m_1 on the dataset d1.
WORK = Work(request=REQUEST, epoch=2, dataset_digest="d1", model_version="m_1")
#: The last record of this owner.
EARLIER = state_event(
    msgspec.structs.replace(WORK, epoch=1), "trained", 2.0, lease_until=3.0, dataset_digest="d1", model_version="m_1"
).data
KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def encoded(data):
    return encode(Event(id="x", source="test", type=data.event_type, time=data.at, data=data, partitionkey="k"))


@pytest.fixture
def home(tmp_path):
    for digest, tenant in (("d1", "acme"), ("d2", "acme"), ("d3", "elm")):
        folder = tmp_path / "loop" / "datasets" / digest
        folder.mkdir(parents=True)
        manifest = {"digest": digest, "tenant": tenant, "model": "m", "retraining_id": "rt_1"}
        manifest |= {"counts": {"train": 1, "eval": 0}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    folder = VersionFolder.of(tmp_path, "m_1")
    folder.path.mkdir(parents=True)
    folder.card.write_text("card")
    job = TrainingJob(tenant="acme", model="m", base="b", base_digest="d", dataset="", dataset_digest="d1")
    version = VersionManifest(
        version="m_1", job=job, adapter_digest="", weights_digest="", numbers={}, libraries={}, files={}
    )
    folder.manifest.write_bytes(msgspec.json.encode(version))
    return tmp_path


@pytest.mark.parametrize(
    ("digest", "states"),
    [
        ("d1", [("trained", "d1", "m_1"), ("blessed", "d1", "m_1")]),
        (
            "d2",
            [("dataset", "d2", ""), ("failed", "d2", "")],
        ),  # m_1 was trained on d1, so the training on d2 starts, and it fails without a base
    ],
)
async def test_a_version_that_was_trained_on_another_dataset_is_not_evaluated(home, digest, states):
    found = []

    async def publish(event):
        if isinstance(event.data, RetrainingRecord):
            found.append((event.data.state, event.data.dataset_digest, event.data.model_version))

    def no_base(_model):
        raise TrainingError("no base")

    setup = msgspec.structs.replace(setup_of(home, home), base=no_base)
    work = _with_dataset(WORK, read_manifest(find(home, digest)))
    await Run(setup, work, publish, TrainerMetrics(CollectorRegistry())).run()
    assert found == states


async def test_a_run_with_a_version_of_another_request_publishes_the_version_for_its_own_request(home):
    folder = VersionFolder.of(home, "m_1")
    version = msgspec.json.decode(folder.manifest.read_bytes(), type=VersionManifest)
    other = msgspec.structs.replace(version, job=msgspec.structs.replace(version.job, retraining_id="rt_0"))
    folder.manifest.write_bytes(msgspec.json.encode(other))
    found = []

    async def publish(event):
        if isinstance(event.data, ModelRecord):
            found.append((event.data.version, event.data.retraining_id, event.causationid))

    await Run(setup_of(home, home), WORK, publish, TrainerMetrics(CollectorRegistry())).run()
    assert found == [("m_1", "rt_1", "rt_1")]


async def test_a_version_that_two_datasets_made_is_published_with_the_dataset_of_the_run(home, monkeypatch):
    """Other reviewers change the digest of a dataset, and not the weights. `weir why` compares the digest with that of the request."""
    found = []

    async def made_again(*_):
        return Trained(version="m_1", numbers={})

    async def publish(event):
        if isinstance(event.data, ModelRecord):
            found.append((event.data.version, event.data.retraining_id, event.data.dataset_digest))

    monkeypatch.setattr(training_run, "run_training", made_again)
    work = Work(request=REQUEST, epoch=1, dataset_digest="d2")
    assert await Run(setup_of(home, home), work, publish, TrainerMetrics(CollectorRegistry())).run() == "blessed"
    assert found == [("m_1", "rt_1", "d2")]


async def test_a_version_without_a_request_does_not_name_the_request_of_its_dataset(home, monkeypatch):
    """The request of the dataset has another version, so `weir why` would report a broken edge."""
    jobs = []

    async def run_training(_home, _folder, job, *_):
        jobs.append(job)
        raise TrainingError("enough")

    monkeypatch.setattr(by_hand, "run_training", run_training)
    with pytest.raises(TrainingError, match="enough"):
        await train_dataset(setup_of(home, home), KafkaSettings(), "d1", print)
    assert [(job.dataset_digest, job.retraining_id) for job in jobs] == [("d1", "")]


@pytest.mark.parametrize(
    ("state", "status"), [("blessed", 0), ("refused", 0), ("failed", 1), ("interrupted", 1), ("rejected", 1)]
)
def test_the_exit_status_is_0_if_the_run_reached_the_gate(tmp_path, monkeypatch, state, status):
    async def train_request(*_):
        return state

    monkeypatch.setattr(by_hand, "train_request", train_request)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    (tmp_path / "ports.json").write_text("{}")
    (tmp_path / "weir.toml").write_text('[kafka]\nbootstrap_servers = "127.0.0.1:1"\n')
    found = CliRunner().invoke(train, ["--dataset", "d1", "--for", "rt_1"])
    assert (found.output, found.exit_code) == (f"rt_1: {state}\n", status)


async def test_a_request_with_the_lease_of_another_trainer_is_an_error(home, monkeypatch):
    """Otherwise the other trainer would end its run, and this run would fail, because the folder of the run is still
    locked.
    """
    owned = state_event(WORK, "progress", 2.0, lease_until=time.time() + 60)
    monkeypatch.setattr(by_hand, "Tail", tail_of(encoded(REQUEST), encode(owned)))
    publish = AsyncMock()
    monkeypatch.setattr(by_hand, "publisher_for", lambda *_: publish)
    with pytest.raises(TrainingError, match=r"a trainer works on retraining rt_1 \(its lease ends in \d+ s\)"):
        await train_request(setup_of(home, home), KAFKA, "rt_1", "d1", print)
    publish.assert_not_called()


async def test_a_request_whose_trainer_builds_the_dataset_is_an_error(home, monkeypatch):
    """A build takes minutes. Two runs with the same epoch would write to the same folder and the same states."""
    log, published = asyncio.Queue(), []

    async def publish(event):
        published.append(event.data)
        log.put_nowait(encode(event))

    building = [sys.executable, "-c", "import time; time.sleep(600)"]
    setup = setup_of(home, home, dataset_command=lambda _request: building)
    run = Run(setup, Work(request=REQUEST, epoch=1), publish, TrainerMetrics(CollectorRegistry()))
    run.start()
    async with asyncio.timeout(30):
        records = [encoded(REQUEST), await log.get()]
    monkeypatch.setattr(by_hand, "Tail", tail_of(*records))
    with pytest.raises(TrainingError, match="a trainer works on retraining rt_1"):
        await _work(setup, KAFKA, "rt_1")
    await run.end()
    assert [(one.state, one.reason, one.dataset_digest) for one in published] == [
        ("progress", "building the dataset", ""),
        ("progress", "building the dataset", ""),  # the end of the lease
    ]
    assert published[-1].lease_until <= time.time()


async def test_a_request_with_an_expired_lease_is_accepted(home, monkeypatch):
    owned = state_event(WORK, "progress", 2.0, lease_until=time.time() - 1)
    monkeypatch.setattr(by_hand, "Tail", tail_of(encoded(REQUEST), encode(owned)))
    work = await _work(setup_of(home, home), KAFKA, "rt_1")
    assert work.epoch == WORK.epoch + 1


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (msgspec.structs.replace(REQUEST, state="rejected", at=9.0), "rejected"),
        (state_event(msgspec.structs.replace(WORK, epoch=4), "trained", 9.0, lease_until=20.0).data, "interrupted"),
    ],
)
async def test_a_run_ends_when_its_request_is_rejected_or_has_another_trainer(home, monkeypatch, last, state):
    log, published = asyncio.Queue(), []

    async def publish(event):
        if isinstance(event.data, RetrainingRecord):
            published.append(event.data.state)
            log.put_nowait(encoded(event.data))  # its own record does not end a run
            log.put_nowait(encoded(last))

    records = [encoded(REQUEST), encoded(EARLIER)]
    for one in records:
        log.put_nowait(one)
    monkeypatch.setattr(by_hand, "Tail", tail_of(*records, following=log))
    monkeypatch.setattr(by_hand, "publisher_for", lambda *_: publish)
    gate = [sys.executable, "-c", "import time; time.sleep(600)"]
    setup = setup_of(home, home, gate_command=lambda _version: gate)
    training = train_request(setup, KAFKA, "rt_1", "d1", print)
    assert await asyncio.wait_for(training, 30) == state
    assert published == ["trained"], "the run must not publish a renewed lease"


@pytest.mark.parametrize(("failures", "state"), [(1, "blessed"), (1000, "interrupted")])
async def test_a_run_ends_before_a_lease_that_kafka_does_not_renew(home, monkeypatch, caplog, failures, state):
    """The trainer of this home could take the request, and then fail because the folder of the run is locked."""
    # A busy machine may stop this process for a second, which must neither end the run that is renewed nor skip all renewals.
    lease, failed, states = 6.0 if state == "blessed" else 3.0, 0, []

    async def publish(event):
        nonlocal failed
        state = event.data.state if isinstance(event.data, RetrainingRecord) else "model"
        if state in states and failed < failures:
            failed += 1
            raise no_kafka("127.0.0.1:1", TimeoutError())
        states.append(state)

    monkeypatch.setattr(by_hand, "Tail", tail_of(encoded(REQUEST), encoded(EARLIER), following=asyncio.Queue()))
    monkeypatch.setattr(by_hand, "publisher_for", lambda *_: publish)
    monkeypatch.setattr(training_run, "_PROGRESS_SECONDS", 0.1)
    evaluated = {"decision": {"state": "blessed", "reason": ""}, "numbers": {}}
    gate = [sys.executable, "-c", f"import time; time.sleep(9); print({json.dumps(json.dumps(evaluated))})"]
    train_settings = TrainSettings(lease_seconds=lease, threads=1)
    setup = setup_of(home, home, train=train_settings, gate_command=lambda _version: gate)
    training = train_request(setup, KAFKA, "rt_1", "d1", print)
    assert await asyncio.wait_for(training, 60) == state
    assert ("blessed" in states) == (state == "blessed")
    assert "retraining rt_1: its lease is not renewed: no Kafka answers at 127.0.0.1:1; `weir status`" in caplog.text
    assert (f"the lease of {lease:g} s was not renewed in time" in caplog.text) == (state == "interrupted")


def test_a_dataset_of_another_tenant_is_an_error(home):
    with pytest.raises(TrainingError, match="is of tenant elm, model m, and the request is of tenant acme, model m"):
        _with_dataset(WORK, read_manifest(find(home, "d3")))


@pytest.mark.parametrize("digest", ["", "*", "**", "../datasets/d1", "/loop/datasets/d1"])
def test_a_path_a_pattern_or_an_empty_digest_names_no_dataset(tmp_path, digest):
    """`weir dataset build` prints the path of the folder; an unset variable of a script is empty."""
    folder = tmp_path / "loop" / "datasets" / "d1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(
        '{"digest": "d1", "tenant": "acme", "model": "m", "counts": {"train": 1, "eval": 0}}'
    )
    with pytest.raises(
        DatasetDamaged, match=r"0 datasets in .* start with .*, and one is needed; see `weir dataset list`"
    ):
        find(tmp_path, digest)
    assert find(tmp_path, "d") == folder


@pytest.mark.parametrize("state", ["shadow", "canary", "promoted", "rolled_back", "expired"])
async def test_a_request_whose_version_delivery_has_is_an_error(home, monkeypatch, state):
    """Delivery would end the canary if the new run fails, and would never deliver the new version."""
    delivered = msgspec.structs.replace(REQUEST, state=state, at=9.0, model_version="m_1")
    monkeypatch.setattr(by_hand, "Tail", tail_of(encoded(REQUEST), encoded(delivered)))
    publish = AsyncMock()
    monkeypatch.setattr(by_hand, "publisher_for", lambda *_: publish)
    with pytest.raises(TrainingError, match=f"retraining rt_1 is {state}"):
        await train_request(setup_of(home, home), KAFKA, "rt_1", "d1", print)
    publish.assert_not_called()
