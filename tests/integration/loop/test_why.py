"""``weir why`` on a real broker: the whole chain, and a copied log that lacks one record."""

import json

import pytest
from prov.model import ProvDocument
from support.commands import Commands
from support.kafka_log import fresh_topics, sender
from support.receiver import receiver

from stream.wire import (
    AlertRecord,
    Event,
    LogRange,
    ModelRecord,
    RequestRecord,
    RetrainingRecord,
    RouteRecord,
    Verdict,
    partition_for,
    tenant_model_key,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
OWN = {"tenant": "acme", "model": "m"}


def state(name, at, **fields):
    return RetrainingRecord(retraining_id="rt_1", state=name, reason=name, at=at, **OWN, **fields)


def chain(names):
    """Return (topic, record) of a chain from one request to a route."""
    alert = AlertRecord(
        alert_id="al_1", state="firing", detector="toxicity", severity="warning", side="input", opened_at=5.0, at=5.0,
        evidence=("r1",), **OWN,
    )  # fmt: skip
    verdict = Verdict(
        request_id="r1", event_id="r1/request", detector="toxicity", version="1", side="input", flagged=True,
        label="toxic", score=0.9, **OWN,
    )  # fmt: skip
    data = LogRange(topic=names.inference, first={"0": 0, "1": 0}, last={"0": 1, "1": 1})
    return [
        (names.inference, RequestRecord(request_id="r1", **OWN)),
        (names.verdicts, verdict),
        (names.alerts, alert),
        (names.retraining, state("requested", 10.0, alert_ids=("al_1",), data=data)),
        (names.retraining, state("trained", 20.0, model_version="m_1")),
        (names.models, ModelRecord(version="m_1", at=20.0, retraining_id="rt_1", **OWN)),
        (names.retraining, state("blessed", 30.0, model_version="m_1")),
        (names.models, RouteRecord(epoch=1, at=40.0, champion="m_1", weights={"m_1": 100}, by="delivery", **OWN)),
    ]


async def written(broker, home, *, without=None):
    """Write the chain to topics of its own, without the record of type `without`; return the command line."""
    kafka = await fresh_topics(broker.bootstrap)
    async with sender(kafka) as to:
        for number, (topic, data) in enumerate(chain(kafka.names)):
            if without is not None and isinstance(data, without):
                continue
            key = tenant_model_key("acme", "m")
            event = Event(
                id=str(number), source="t", type=data.event_type, time=1.0, data=data, partitionkey=f"{key}{number}"
            )
            await to.send(topic, event, partition=partition_for(key, 2))
    return Commands(home, kafka)


async def test_the_chain_names_its_request_and_every_edge_is_checked(broker, tmp_path):
    weir = await written(broker, tmp_path)
    done = await weir.run("why", "m_1", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["version"], found["tenant"]) == (0, "m_1", "acme")
    assert {node["id"] for node in found["nodes"] if node["kind"] == "request"} == {"r1"}
    assert [edge for edge in found["edges"] if edge.get("broken")] == []
    done = await weir.run("why", "m_1", "--verify")
    assert (done.returncode, "none is broken" in done.stdout) == (0, True)
    done = await weir.run("why", "m_1", "--prov")
    assert list(ProvDocument.deserialize(content=done.stdout, format="json").get_records())
    done = await weir.run("why", "m_9")
    assert (done.returncode, "no version 'm_9'" in done.stderr) == (1, True)


async def test_the_open_lineage_events_are_sent_to_an_endpoint(broker, tmp_path):
    weir = await written(broker, tmp_path)
    with receiver() as marquez:
        done = await weir.run("why", "m_1", "--openlineage-url", marquez.url)
        assert done.stdout == f"3 events sent to {marquez.url}/api/v1/lineage\n", done.stderr
        jobs = [one.message["job"]["name"] for one in marquez.seen]
    assert jobs == ["acme/m/training", "acme/m/gate", "acme/m/delivery"]


@pytest.mark.parametrize(
    ("without", "edge"),
    [
        (RequestRecord, "evidence r1 -> al_1"),
        (Verdict, "evidence r1 -> al_1"),
        (AlertRecord, "agreed al_1 -> rt_1/requested"),
    ],
)
async def test_a_copied_log_that_lacks_a_record_names_the_broken_edge(broker, tmp_path, without, edge):
    weir = await written(broker, tmp_path, without=without)
    done = await weir.run("why", "m_1", "--verify")
    assert (done.returncode, edge in done.stdout) == (1, True), done.stdout + done.stderr
    found = json.loads((await weir.run("why", "m_1", "--json")).stdout)
    assert len([one for one in found["edges"] if one.get("broken")]) == 1
