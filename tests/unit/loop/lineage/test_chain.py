"""The chain of a model version: every edge is checked, and a removed record breaks the edge that needs it."""

import json

import pytest
from prov.model import ProvDocument

from stream.loop.lineage.chain import chain_of, wanted_requests
from stream.loop.lineage.export import open_lineage, prov_json
from stream.loop.lineage.facts import DatasetFacts, Facts, Place
from stream.wire import (
    AlertRecord,
    Event,
    FindingRecord,
    LogRange,
    ModelRecord,
    RequestRecord,
    RetrainingRecord,
    RouteRecord,
    Verdict,
)

BASE = {"tenant": "acme", "model": "m"}
DATASET = DatasetFacts(
    digest="d1", ranges=(LogRange(topic="weir.inference", first={"0": 0}, last={"0": 9}),), request_ids=frozenset({"r2", "r3"})
)  # fmt: skip


def state(name, at, **fields):
    return RetrainingRecord(retraining_id="rt_1", state=name, reason=name, at=at, **BASE, **fields)


def alert(alert_id, detector, evidence, opened_at=5.0):
    return AlertRecord(
        alert_id=alert_id, state="firing", detector=detector, severity="warning", side="input", opened_at=opened_at,
        at=opened_at, evidence=evidence, **BASE,
    )  # fmt: skip


def log():
    """Return {name: record} of a complete chain, in the order of the log."""
    return {
        "request r1": RequestRecord(request_id="r1", **BASE),
        "request r2": RequestRecord(request_id="r2", **BASE),
        "request r3": RequestRecord(request_id="r3", **BASE),
        "verdict r1": Verdict(
            request_id="r1", event_id="e1", detector="toxicity", version="1", side="input", flagged=True, label="toxic",
            score=0.9, **BASE,
        ),
        "finding r2": FindingRecord(
            side="input", detector="drift", version="1", time=4.0, bucket=1, evidence=("r2",), alarm=True, **BASE
        ),
        "alert al_1": alert("al_1", "toxicity", ("r1",)),
        "alert al_2": alert("al_2", "drift", ("r2",)),
        "requested": state("requested", 10.0, alert_ids=("al_1", "al_2")),
        "approved": state("approved", 11.0, by="ann"),
        "dataset": state("dataset", 12.0, dataset_digest="d1"),
        "trained": state("trained", 20.0, model_version="m_1"),
        "model": ModelRecord(version="m_1", at=20.0, dataset_digest="d1", retraining_id="rt_1", **BASE),
        "blessed": state("blessed", 30.0, model_version="m_1", numbers={"e_safe": 40.0}),
        "route": RouteRecord(epoch=2, at=40.0, champion="m_0", challenger="m_1", weights={"m_0": 95, "m_1": 5}, by="delivery", **BASE),
    }  # fmt: skip


def facts_of(records, dataset=DATASET, version="m_1"):
    """Return the facts of a log, read twice as `weir why` reads it: the wanted requests are known after the first time."""
    facts = Facts()
    events = [
        (Event(id=name, source="s", type=data.event_type, time=0.0, data=data), Place("t", 0, offset))
        for offset, (name, data) in enumerate(records.items())
    ]
    for event, place in events:
        if not isinstance(event.data, RequestRecord | Verdict | FindingRecord):
            facts.add(event, place)
    facts.wanted = wanted_requests(facts, version, dataset)
    for event, place in events:
        if isinstance(event.data, RequestRecord | Verdict | FindingRecord):
            facts.add(event, place)
    return facts


def broken(records, dataset=DATASET):
    chain = chain_of(facts_of(records, dataset), "m_1", dataset)
    return {(edge.cause, edge.effect) for edge in chain.broken}


def test_a_complete_chain_names_its_requests_and_no_edge_is_broken():
    chain = chain_of(facts_of(log()), "m_1", DATASET)
    assert chain.broken == []
    assert {node.id for node in chain.nodes if node.kind == "request"} == {"r1", "r2", "r3"}
    kinds = {edge.kind for edge in chain.edges}
    assert kinds == {"row", "evidence", "agreed", "approved", "pinned", "used", "trained", "evaluated", "routed"}
    assert next(node for node in chain.nodes if node.id == "al_1").place == "t-0@5"


@pytest.mark.parametrize(
    ("removed", "edges"),
    [
        ("request r1", {("r1", "al_1")}),
        ("request r2", {("r2", "al_2"), ("r2", "d1")}),
        ("request r3", {("r3", "d1")}),
        ("verdict r1", {("r1", "al_1")}),
        ("finding r2", {("r2", "al_2")}),
        ("alert al_1", {("al_1", "rt_1/requested")}),
        ("requested", {("", "rt_1/requested")}),
        ("dataset", {("d1", "rt_1/trained")}),
        ("trained", {("rt_1", "m_1")}),
        ("blessed", {("m_1", "route 2")}),
    ],
)
def test_a_removed_record_breaks_the_edges_that_need_it(removed, edges):
    records = log()
    del records[removed]
    assert broken(records) == edges


def test_another_digest_of_the_rows_on_disk_breaks_the_edge_of_the_dataset():
    other = DatasetFacts(digest="d2", request_ids=DATASET.request_ids)
    assert broken(log(), other) == {("d1", "rt_1/trained")}


def test_a_route_to_a_refused_version_is_broken_unless_a_person_forced_it():
    records = log() | {"blessed": state("refused", 30.0, model_version="m_1")}
    assert broken(records) == {("rt_1/refused", "route 2")}
    route = RouteRecord(epoch=2, at=40.0, champion="m_1", weights={"m_1": 100}, by="ann", **BASE)
    assert broken(records | {"route": route}) == set()


def smaller_log():
    """Return the chain of `log` with a quantised version of its version, which an operator let delivery take."""
    return log() | {
        "smaller": ModelRecord(version="m_2", at=50.0, parent="m_1", method="int8", **BASE),
        "blessed m_2": RetrainingRecord(
            retraining_id="rt_2", state="blessed", reason="by hand", at=60.0, model_version="m_2", **BASE
        ),
        "route m_2": RouteRecord(epoch=3, at=70.0, champion="m_1", challenger="m_2", weights={"m_1": 95, "m_2": 5}, by="delivery", **BASE),
    }  # fmt: skip


def test_a_smaller_version_has_its_parent_and_the_parents_chain():
    chain = chain_of(facts_of(smaller_log(), version="m_2"), "m_2", DATASET)
    assert chain.broken == []
    assert ("m_1", "m_2", "int8") in {(edge.cause, edge.effect, edge.kind) for edge in chain.edges}
    assert {node.id for node in chain.nodes if node.kind == "request"} == {"r1", "r2", "r3"}
    assert ("m_2", "rt_2/blessed") in {(edge.cause, edge.effect) for edge in chain.edges}


def test_a_smaller_version_whose_parent_is_not_in_the_log_is_broken():
    records = smaller_log()
    del records["model"]
    chain = chain_of(facts_of(records, version="m_2"), "m_2", None)
    assert {(edge.cause, edge.effect) for edge in chain.broken} == {("m_1", "m_2")}


def test_a_smaller_version_of_the_base_needs_no_training_and_no_dataset():
    record = ModelRecord(version="m_2", at=50.0, parent="base", method="prune", base_digest="b1", **BASE)
    chain = chain_of(facts_of({"smaller": record}, version="m_2"), "m_2", None)
    assert (chain.broken, [(edge.cause, edge.effect, edge.kind) for edge in chain.edges]) == (
        [], [("base", "m_2", "prune")],
    )  # fmt: skip
    assert json.loads(prov_json(chain))["wasDerivedFrom"]


def test_an_unknown_version_has_no_chain():
    assert chain_of(facts_of(log()), "m_9") is None


def test_the_chain_is_valid_prov_json():
    text = prov_json(chain_of(facts_of(log()), "m_1", DATASET))
    document = ProvDocument.deserialize(content=text, format="json")
    assert len(list(document.get_records())) > 20
    parsed = json.loads(text)
    assert {"weir:m_1", "weir:d1", "weir:r1"} <= parsed["entity"].keys()
    assert {one["prov:activity"] for one in parsed["wasGeneratedBy"].values()} >= {"weir:rt_1/trained"}


def test_open_lineage_has_a_run_for_training_gate_and_delivery():
    events = [json.loads(line) for line in open_lineage(chain_of(facts_of(log()), "m_1", DATASET))]
    assert [event["job"]["name"] for event in events] == ["acme/m/training", "acme/m/gate", "acme/m/delivery"]
    assert events[0]["inputs"][0]["name"] == "d1"
    assert events[0]["outputs"][0]["name"] == "m_1"
    assert all(event["eventType"] == "COMPLETE" for event in events)
