"""``weir why`` on a real broker: the complete chain, and copies of the log without one of its records."""

import json
import shutil

import pytest
from prov.model import ProvDocument
from support.commands import Commands
from support.dataset_log import LOOSE, WordScanner, approval, exchange, join, loose, rows_of
from support.kafka_log import fresh_topics, sender
from support.receiver import receiver

from stream.kafka.clients import producer_for
from stream.kafka.tail import Tail
from stream.loop.dataset.build import write
from stream.loop.dataset.curate import curate
from stream.loop.dataset.files import datasets_in, folder_of
from stream.loop.dataset.log import DatasetRequest
from stream.loop.lineage.chain import chain_of
from stream.loop.lineage.read import read_facts
from stream.loop.settings import LoopSettings
from stream.wire import (
    AlertRecord,
    Event,
    LogRange,
    ModelRecord,
    RequestRecord,
    RetrainingRecord,
    RouteRecord,
    Verdict,
    decode,
    partition_for,
    tenant_model_key,
)
from weir.operate.model_lineage import dataset_facts

pytestmark = pytest.mark.kafka
OWN = {"tenant": "acme", "model": "m"}
KEY = tenant_model_key("acme", "m")


def state(name, at, **fields):
    return RetrainingRecord(retraining_id="rt_1", state=name, reason=name, at=at, **OWN, **fields)


def save_dataset(home, ranges):
    """Write a dataset of two rows to `home`; return its digest."""
    events = [
        *(event for name, author in (("q1", "k0"), ("q2", "k_lite/88dc")) for event in exchange(name, author=author)),
        *(approval(name, by=by) for name in ("q1", "q2") for by in ("r0", "r1")),
    ]
    curated = curate(join(*events).exchanges(), LOOSE, "sft", WordScanner())
    request = DatasetRequest(**OWN, ranges=ranges, retraining_id="rt_1")
    return write(home, request, curated, LoopSettings(dataset=LOOSE), WordScanner.versions).name


def chain(names, home):
    """Return (topic, record) of a chain from one flagged request and a dataset of two others to a promoted version."""
    early, late = (LogRange(topic=names.inference, first={"0": 0, "1": 0}, last={"0": 1, "1": last}) for last in (1, 9))
    digest = save_dataset(home, (late,))
    alert = AlertRecord(
        alert_id="al_1", state="firing", detector="toxicity", severity="warning", side="input", opened_at=5.0, at=5.0,
        evidence=("r1",), **OWN,
    )  # fmt: skip
    verdict = Verdict(
        request_id="r1", event_id="r1/request", detector="toxicity", version="1", side="input", flagged=True,
        label="toxic", score=0.9, **OWN,
    )  # fmt: skip
    route = RouteRecord(
        epoch=1, at=40.0, champion="m_1", weights={"m_1": 100}, by="delivery", retraining_id="rt_1", **OWN
    )
    return [
        *((names.inference, RequestRecord(request_id=name, **OWN)) for name in ("r1", "q1", "q2")),
        (names.verdicts, verdict),
        (names.alerts, alert),
        (names.retraining, state("requested", 10.0, alert_ids=("al_1",), data=early)),
        (names.retraining, state("approved", 11.0, by="k_boss", data=late)),
        (names.retraining, state("dataset", 12.0, dataset_digest=digest)),
        (names.retraining, state("trained", 20.0, model_version="m_1")),
        (names.models, ModelRecord(version="m_1", at=20.0, retraining_id="rt_1", dataset_digest=digest, **OWN)),
        (names.retraining, state("blessed", 30.0, model_version="m_1")),
        (names.retraining, state("promoted", 40.0, model_version="m_1", by="delivery", numbers={"epoch": 1.0})),
        (names.models, route),
    ]


async def written(broker, home):
    """Write the chain to new topics; return their Kafka settings."""
    kafka = await fresh_topics(broker.bootstrap)
    await send(kafka, chain(kafka.names, home))
    return kafka


async def send(kafka, records):
    async with sender(kafka) as to:
        for number, (topic, data) in enumerate(records):
            event = Event(
                id=str(number), source="t", type=data.event_type, time=1.0, data=data, partitionkey=f"{KEY}{number}"
            )
            await to.send(topic, event, partition=partition_for(KEY, 2))


async def test_the_chain_names_its_requests_and_every_edge_is_checked(broker, tmp_path):
    weir = Commands(tmp_path, await written(broker, tmp_path))
    done = await weir.run("why", "m_1", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["version"], found["tenant"]) == (0, "m_1", "acme")
    assert {node["id"] for node in found["nodes"] if node["kind"] == "request"} == {"r1", "q1", "q2"}
    assert [edge for edge in found["edges"] if edge.get("broken")] == []
    done = await weir.run("why", "m_1", "--verify")
    assert (done.returncode, "none is broken" in done.stdout) == (0, True)
    done = await weir.run("why", "m_1", "--prov")
    assert list(ProvDocument.deserialize(content=done.stdout, format="json").get_records())
    done = await weir.run("why", "m_9")
    assert (done.returncode, "no version 'm_9'" in done.stderr) == (1, True)


async def test_the_open_lineage_events_are_sent_to_an_endpoint(embedded_broker, tmp_path):
    weir = Commands(tmp_path, await written(embedded_broker, tmp_path))
    with receiver() as marquez:
        done = await weir.run("why", "m_1", "--openlineage-url", marquez.url)
        assert done.stdout == f"3 events sent to {marquez.url}/api/v1/lineage\n", done.stderr
        jobs = [one.message["job"]["name"] for one in marquez.seen]
    assert jobs == ["acme/m/training", "acme/m/gate", "acme/m/delivery"]


@pytest.mark.parametrize(("subject", "rows"), [("q1", 1), ("k0", 1), ("k_lite", 1), ("r0", 2), ("r1", 2), ("k9", None)])
async def test_a_subject_is_a_request_or_a_key_that_sent_or_reviewed_requests(embedded_broker, tmp_path, subject, rows):
    weir = Commands(tmp_path, await written(embedded_broker, tmp_path))
    done = await weir.run("why", "--subject", subject, "--json")
    assert [one["rows"] for one in json.loads(done.stdout)] == ([] if rows is None else [rows]), done.stderr


async def test_a_version_whose_dataset_is_not_on_this_machine_is_named(embedded_broker, tmp_path):
    weir = Commands(tmp_path, await written(embedded_broker, tmp_path))
    shutil.rmtree(datasets_in(tmp_path)[0])
    done = await weir.run("why", "--subject", "k0")
    assert (done.returncode, "not searched, because their datasets are not on this machine: m_1" in done.stderr) == (
        1,
        True,
    )
    assert (await weir.run("why", "--subject", "k0", "--tenant", "elm")).returncode == 0


@pytest.mark.parametrize("file", ["manifest.json", "train.parquet"])
async def test_the_versions_of_a_subject_are_listed_although_other_datasets_are_damaged(
    embedded_broker, tmp_path, file
):
    weir = Commands(tmp_path, await written(embedded_broker, tmp_path))
    for name in ("0" * 64, "f" * 64):  # before and after the intact dataset
        broken = folder_of(tmp_path, name)
        shutil.copytree(datasets_in(tmp_path)[0], broken)
        (broken / file).write_bytes(b"damaged")
    done = await weir.run("why", "--subject", "r0", "--json")
    assert [(one["version"], one["rows"]) for one in json.loads(done.stdout)] == [("m_1", 2)], done.stderr
    errors = [line for line in done.stderr.splitlines() if f"{file} " in line and "build the dataset again" in line]
    assert (done.returncode, len(errors)) == (1, 2)


async def records_of(kafka):
    """Return (topic without prefix, record) of the whole log."""
    topics = {topic.name.removeprefix(kafka.topic_prefix): topic.name for topic in kafka.topics()}
    return [
        (short, record)
        for short, name in topics.items()
        async for record in Tail(kafka.client_options(), name, follow=False).records()
    ]


async def copied(kafka, records):
    """Write the bytes of `records` to new topics, each to the partition that it had; return their Kafka settings."""
    copy = await fresh_topics(kafka.bootstrap_servers)
    async with producer_for(copy.client_options()) as producer:
        for short, record in records:
            await producer.send_and_wait(
                f"{copy.topic_prefix}{short}",
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
            )
    return copy


def name_of(record):
    data = decode(record.value, record.headers).data
    return getattr(data, "state", "") or getattr(data, "request_id", "") or type(data).__name__


#: {removed record: the edge that is broken without it}. Without its ``ModelRecord``, a version is unknown.
BROKEN = {
    "q1": "q1 -> ",
    "q2": "q2 -> ",
    "firing": "al_1 -> rt_1/requested",
    "requested": " -> rt_1/requested",
    "approved": "rt_1/requested -> ",
    "dataset": " -> rt_1/trained",
    "trained": "rt_1 -> m_1",
    "blessed": "m_1 -> route 1",
    "promoted": "rt_1/blessed -> route 1",
    "RouteRecord": "rt_1/promoted -> route 1",
}


async def test_each_removed_record_breaks_the_edge_that_names_it(embedded_broker, tmp_path):
    original = await written(embedded_broker, tmp_path)
    log = await records_of(original)
    assert len(log) == len(chain(original.names, tmp_path))
    named = {}
    for removed in log:
        copy = await copied(original, [one for one in log if one is not removed])
        facts, dataset = await read_facts(copy, "m_1", lambda digest: dataset_facts(tmp_path, digest))
        found = chain_of(facts, "m_1", dataset)
        edges = None if found is None else [f"{edge.cause} -> {edge.effect}" for edge in found.broken]
        named.setdefault(name_of(removed[1]), []).append(edges)
    assert named.pop("ModelRecord") == [None]
    assert named.pop("r1") == [["r1 -> al_1"], ["r1 -> al_1"]], "broken without the request or its verdict"
    assert named.keys() == BROKEN.keys()
    for name, (edges,) in named.items():
        assert len(edges) == 1, name
        assert BROKEN[name] in edges[0], name

    weir = Commands(tmp_path, await copied(original, [one for one in log if name_of(one[1]) != "firing"]))
    done = await weir.run("why", "m_1", "--verify")
    assert (done.returncode, "agreed al_1 -> rt_1/requested" in done.stdout) == (1, True), done.stdout + done.stderr


@pytest.mark.parametrize(("of_dataset", "pinned"), [(1, 1), (0, 2)])
async def test_a_row_whose_request_is_before_the_pinned_offsets_is_found(embedded_broker, tmp_path, of_dataset, pinned):
    """The first request is that of an old row, or of a dataset with a longer range that an operator built."""
    kafka = await fresh_topics(embedded_broker.bootstrap)
    old, new = (
        [event for name in names for event in (*exchange(name), approval(name))] for names in (["q0"], ["q1", "q2"])
    )
    settings = loose(replay_share=0.5)
    curated = rows_of(new if of_dataset else old + new, settings, old=rows_of(old).train)
    assert {row.id: row.source for row in curated.train}["q0"] == ("replay" if of_dataset else "approved")

    def offsets(first):
        number = str(partition_for(KEY, 2))
        return LogRange(topic=kafka.names.inference, first={number: first}, last={number: 3})

    request = DatasetRequest(**OWN, ranges=(offsets(of_dataset),))
    digest = write(tmp_path, request, curated, LoopSettings(dataset=settings), WordScanner.versions).name
    log = [
        *((kafka.names.inference, RequestRecord(request_id=name, **OWN)) for name in ("q0", "q1", "q2")),
        (kafka.names.retraining, state("requested", 10.0, data=offsets(pinned))),
        (kafka.names.retraining, state("dataset", 12.0, dataset_digest=digest)),
        (kafka.names.retraining, state("trained", 20.0, model_version="m_1")),
        (kafka.names.models, ModelRecord(version="m_1", at=20.0, retraining_id="rt_1", dataset_digest=digest, **OWN)),
    ]
    await send(kafka, log)
    facts, dataset = await read_facts(kafka, "m_1", lambda name: dataset_facts(tmp_path, name))
    assert chain_of(facts, "m_1", dataset).broken == []
