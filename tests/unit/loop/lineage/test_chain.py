"""The causal chain of a model version: each edge is checked, and a removed record breaks the edges that need it."""

import json

import msgspec
import pytest
from click.testing import CliRunner
from openlineage.client.serde import Serde
from prov.model import ProvDocument
from support.receiver import receiver

from stream.address import Address
from stream.errors import LineageRefused
from stream.loop.lineage.chain import Node, chain_of, wanted_requests
from stream.loop.lineage.export import open_lineage, prov_json, send_open_lineage
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
from weir.cli import main
from weir.cli.render.chain import chain_lines

BASE = {"tenant": "acme", "model": "m"}
EARLY, LATE = (LogRange(topic="weir.inference", first={"0": 0}, last={"0": last}) for last in (7, 9))
DATASET = DatasetFacts(digest="d1", retraining_id="rt_1", ranges=(LATE,), request_ids=frozenset({"r2", "r3"}))


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
        "requested": state("requested", 10.0, alert_ids=("al_1", "al_2"), data=EARLY),
        "approved": state("approved", 11.0, by="ann", data=LATE),
        "dataset": state("dataset", 12.0, dataset_digest="d1"),
        "trained": state("trained", 20.0, model_version="m_1"),
        "model": ModelRecord(version="m_1", at=20.0, dataset_digest="d1", retraining_id="rt_1", **BASE),
        "blessed": state("blessed", 30.0, model_version="m_1", numbers={"e_safe": 40.0}),
        "canary": state("canary", 40.0, model_version="m_1", numbers={"epoch": 2.0}),
        "route": RouteRecord(
            epoch=2, at=40.0, champion="m_0", challenger="m_1", weights={"m_0": 95, "m_1": 5}, by="delivery",
            retraining_id="rt_1", **BASE,
        ),
    }  # fmt: skip


def facts_of(records, dataset=DATASET, version="m_1"):
    """Return the facts of a log, which is read twice as in `weir why`: the first read finds the needed requests."""
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


@pytest.mark.parametrize("ends", [("trained",), ("completed",), ("trained", "completed")])
def test_the_dataset_leads_to_the_training_of_any_trainer(ends):
    records = log()
    del records["trained"]
    numbers = {"by": 1.0, "reason": 2.0, "loss": 3.0}
    records |= {name: state(name, 20.0, model_version="m_1", numbers=numbers) for name in ends}
    chain = chain_of(facts_of(records), "m_1", DATASET)
    nodes = {node.id: node for node in chain.nodes}
    assert chain.broken == []
    assert {name for edge in chain.edges for name in (edge.cause, edge.effect)} <= nodes.keys()
    assert nodes[f"rt_1/{ends[-1]}"].facts == {"loss": 3.0, "reason": ends[-1]}
    used = {"prov:activity": f"weir:rt_1/{ends[-1]}", "prov:entity": "weir:d1"}
    assert used in json.loads(prov_json(chain))["used"].values()


@pytest.mark.parametrize(
    ("removed", "edges"),
    [
        ("request r1", {("r1", "al_1")}),
        ("request r2", {("r2", "al_2"), ("r2", "d1")}),
        ("request r3", {("r3", "d1")}),
        ("verdict r1", {("r1", "al_1")}),
        ("finding r2", {("r2", "al_2")}),
        ("alert al_1", {("al_1", "rt_1/requested")}),
        ("alert al_2", {("al_2", "rt_1/requested")}),
        ("requested", {("", "rt_1/requested")}),
        ("approved", {("rt_1/requested", "d1")}),
        ("dataset", {("d1", "rt_1/trained")}),
        ("trained", {("rt_1", "m_1")}),
        ("blessed", {("m_1", "route 2")}),
        ("canary", {("rt_1/blessed", "route 2")}),
        ("route", {("rt_1/canary", "route 2")}),
    ],
)
def test_a_removed_record_breaks_the_edges_that_need_it(removed, edges):
    records = log()
    del records[removed]
    chain = chain_of(facts_of(records), "m_1", DATASET)
    assert {(edge.cause, edge.effect) for edge in chain.broken} == edges
    assert any(line.startswith("  broken") for line in chain_lines(chain))


def test_a_name_in_a_printed_chain_cannot_control_the_terminal():
    chain = msgspec.structs.replace(chain_of(facts_of(log()), "m_1"), model="gpt\u202e4\x9b2J")
    assert next(iter(chain_lines(chain))) == "m_1  acme / gpt\ufffd4\ufffd2J"


def test_the_reason_of_a_step_is_printed_before_its_numbers():
    chain = chain_of(facts_of(log()), "m_1")
    node = Node(kind="blessed", id="rt_1/blessed", at=1.0, facts={"held_out.pairs": 8.0, "reason": "not worse"})
    printed = list(chain_lines(msgspec.structs.replace(chain, nodes=(node,))))
    assert printed[1].endswith("rt_1/blessed  reason not worse  held_out.pairs 8")


def test_removed_earlier_routes_and_the_pins_of_a_resumed_request_break_no_edge():
    later = RouteRecord(
        epoch=5, at=90.0, champion="m_2", weights={"m_2": 100}, by="delivery", retraining_id="rt_2", **BASE
    )
    compacted = log() | {"resumed": state("approved", 13.0, by="ann", data=EARLY), "route": later}
    assert broken(compacted) == set()


def test_a_dataset_that_another_request_rebuilt_breaks_no_edge():
    other = LogRange(topic="weir.inference", first={"0": 0}, last={"0": 8})
    again = DatasetFacts(digest="d1", retraining_id="rt_2", ranges=(other,), request_ids=DATASET.request_ids)
    assert broken(log(), again) == set()


def test_another_digest_of_the_rows_on_disk_breaks_the_edge_of_the_dataset():
    other = DatasetFacts(digest="d2", request_ids=DATASET.request_ids)
    assert broken(log(), other) == {("d1", "rt_1/trained")}


REQUEST_ONLY, DATASET_ONLY, NEITHER = (
    ModelRecord(version="m_1", at=20.0, retraining_id=request, dataset_digest=digest, **BASE)
    for request, digest in (("rt_1", ""), ("", "d1"), ("", ""))
)


@pytest.mark.parametrize(
    ("changed", "faults"),
    [
        ({"dataset": state("dataset", 12.0, dataset_digest="d9")}, {"rt_1/trained": "the request's dataset is d9"}),
        ({"blessed": state("blessed", 50.0, model_version="m_1")}, {"route 2": "no gate decision"}),
        ({"blessed": None, "route": msgspec.structs.replace(log()["route"], weights={"m_0": 100})}, {}),
        ({"route": None, "resumed": state("approved", 60.0)}, {"route 2": "Kafka has no route of epoch 2 or later"}),
        ({"model": REQUEST_ONLY}, {}),
        ({"model": DATASET_ONLY}, {}),  # `weir train`
        ({"model": NEITHER}, {"m_1": "Kafka has no state trained of this version"}),
    ],
)
def test_a_changed_record_breaks_the_edge_to_the_effect_with_a_reason(changed, faults):
    records = {name: record for name, record in (log() | changed).items() if record is not None}
    chain = chain_of(facts_of(records), "m_1")
    assert {edge.effect: edge.broken for edge in chain.broken} == faults
    assert "" not in {node.id for node in chain.nodes}


def test_a_route_follows_the_decision_of_its_own_request_and_the_newest_state_needs_its_route():
    other = {"model_version": "m_1", "by": "ann", "reason": "", **BASE}
    forced = RetrainingRecord(retraining_id="rt_2", state="blessed", at=35.0, **other)
    back = RouteRecord(epoch=3, at=50.0, champion="base", weights={"base": 100}, by="ann", retraining_id="rt_1", **BASE)
    chain = chain_of(facts_of(log() | {"forced": forced, "back": back}), "m_1", DATASET)
    routed = [(edge.cause, edge.effect) for edge in chain.edges if edge.kind == "routed"]
    assert routed == [("rt_1/blessed", "route 2"), ("rt_1/blessed", "route 3")]
    promoted = state("promoted", 50.0, model_version="m_1", numbers={"epoch": 3.0}, by="delivery")
    assert broken(log() | {"promoted": promoted}) == {("rt_1/promoted", "route 3")}


def test_a_route_to_a_refused_version_is_broken_unless_a_person_forced_it():
    records = log() | {"blessed": state("refused", 30.0, model_version="m_1")}
    assert broken(records) == {("rt_1/refused", "route 2")}
    route = RouteRecord(epoch=2, at=40.0, champion="m_1", weights={"m_1": 100}, by="ann", **BASE)
    assert broken(records | {"route": route}) == set()


def test_the_route_that_rolled_a_version_back_is_in_its_chain_and_routes_of_others_are_not():
    back = RouteRecord(epoch=3, at=50.0, champion="base", weights={"base": 100}, by="ann", reason="wrong", retraining_id="rt_1", **BASE)  # fmt: skip
    other = RouteRecord(epoch=4, at=60.0, champion="m_2", weights={"m_2": 100}, by="ann", retraining_id="rt_2", **BASE)
    rolled_back = state("rolled_back", 50.0, numbers={"epoch": 3.0}, by="ann")
    records = log() | {"rolled back": rolled_back, "back": back, "other": other}
    assert broken(records) == set()
    routes = [node for node in chain_of(facts_of(records), "m_1", DATASET).nodes if node.kind == "route"]
    assert [(node.id, node.facts.get("percent"), node.facts.get("by")) for node in routes][-1] == (
        "route 3",
        0.0,
        "ann",
    )


def smaller_log():
    """Return the records of `log` and of a quantised version made from its version, which an operator sent to delivery."""
    return log() | {
        "smaller": ModelRecord(version="m_2", at=50.0, parent="m_1", method="int8", **BASE),
        "blessed m_2": RetrainingRecord(
            retraining_id="rt_2", state="blessed", reason="by hand", at=60.0, model_version="m_2", **BASE
        ),
        "canary m_2": RetrainingRecord(
            retraining_id="rt_2", state="canary", at=70.0, numbers={"epoch": 3.0}, by="delivery", reason="", **BASE
        ),
        "route m_2": RouteRecord(
            epoch=3, at=70.0, champion="m_1", challenger="m_2", weights={"m_1": 95, "m_2": 5}, by="delivery",
            retraining_id="rt_2", **BASE,
        ),
    }  # fmt: skip


def test_a_smaller_version_has_its_parent_and_the_parents_chain():
    chain = chain_of(facts_of(smaller_log(), version="m_2"), "m_2", DATASET)
    assert chain.broken == []
    assert ("m_1", "m_2", "derived") in {(edge.cause, edge.effect, edge.kind) for edge in chain.edges}
    assert "base" not in {node.id for node in chain.nodes}
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
        [], [("base", "m_2", "derived")],
    )  # fmt: skip
    assert json.loads(prov_json(chain))["wasDerivedFrom"]


def test_an_unknown_version_has_no_chain():
    records = log()
    del records["model"]
    assert chain_of(facts_of(records), "m_1", DATASET) is chain_of(facts_of(log()), "m_9") is None


def test_the_chain_is_valid_prov_json():
    text = prov_json(chain_of(facts_of(log()), "m_1", DATASET))
    document = ProvDocument.deserialize(content=text, format="json")
    assert len(list(document.get_records())) > 20
    parsed = json.loads(text)
    assert {"weir:m_1", "weir:d1", "weir:r1"} <= parsed["entity"].keys()
    assert {one["prov:activity"] for one in parsed["wasGeneratedBy"].values()} >= {"weir:rt_1/trained"}


def test_open_lineage_has_a_run_for_training_gate_and_delivery():
    events = [json.loads(Serde.to_json(one)) for one in open_lineage(chain_of(facts_of(log()), "m_1", DATASET))]
    assert [event["job"]["name"] for event in events] == ["acme/m/training", "acme/m/gate", "acme/m/delivery"]
    assert events[0]["inputs"][0]["name"] == "d1"
    assert events[0]["outputs"][0]["name"] == "m_1"
    assert all(event["eventType"] == "COMPLETE" for event in events)


def test_a_receiver_gets_the_open_lineage_events_with_key_and_path():
    events = open_lineage(chain_of(facts_of(log()), "m_1", DATASET))
    with receiver() as marquez:
        marquez.answers = [503]  # the first request fails and is retried
        url = marquez.url.replace("http://", "http://ann:secret@")
        assert send_open_lineage(events, Address(url)) == f"{marquez.url}/api/v1/lineage"
        assert [one.status for one in marquez.seen] == [503, 204, 204, 204]
        assert [one.message["job"]["name"] for one in marquez.accepted] == [
            "acme/m/training",
            "acme/m/gate",
            "acme/m/delivery",
        ]
        assert marquez.seen[0].headers["authorization"].startswith("Basic ")
        send_open_lineage(events[:1], Address(marquez.url), "key-1")
        assert marquez.seen[-1].headers["authorization"] == "Bearer key-1"
        assert marquez.seen[-1].message["run"] == marquez.accepted[0].message["run"], (
            "an event that is sent again has the same run"
        )
        marquez.answers = [401]
        with pytest.raises(LineageRefused, match="status 401"):
            send_open_lineage(events, Address(marquez.url))


def test_a_wrong_address_of_an_endpoint_is_an_error_before_the_log_is_read():
    done = CliRunner().invoke(main, ["why", "m_1", "--openlineage-url", "marquez:5000"])
    assert (done.exit_code, "--openlineage-url is wrong" in done.output) == (2, True)


def test_a_version_of_an_operator_shows_no_gate_of_another_version():
    records = log() | {
        "bad": ModelRecord(version="m_bad", at=50.0, parent="m_1", **BASE),
        "forced": RetrainingRecord(
            retraining_id="rt_2", state="blessed", at=51.0, model_version="m_bad", by="demo", reason="by hand", **BASE
        ),
        "announced": RetrainingRecord(
            retraining_id="rt_2", state="canary", at=52.0, numbers={"epoch": 3.0}, by="delivery", reason="", **BASE
        ),
        "forced route": RouteRecord(
            epoch=3, at=52.0, champion="m_1", challenger="m_bad", weights={"m_1": 95, "m_bad": 5}, by="delivery",
            retraining_id="rt_2", **BASE,
        ),
    }  # fmt: skip
    facts = facts_of(records)
    bad, good = chain_of(facts, "m_bad"), chain_of(facts, "m_1", DATASET)
    edges = [(edge.cause, edge.effect, edge.kind) for edge in bad.edges]
    assert edges[0] == ("m_1", "m_bad", "derived")
    assert edges[-2:] == [("m_bad", "rt_2/blessed", "started"), ("rt_2/blessed", "route 3", "routed")]
    assert not [edge for edge in edges if "rt_1/blessed" in edge]
    assert bad.broken == []
    del facts.models["m_1"]
    assert [edge.broken for edge in chain_of(facts, "m_bad").broken] == ["Kafka has no version m_1"]
    assert [(edge.cause, edge.effect) for edge in good.edges if edge.kind == "routed"] == [
        ("rt_1/blessed", "route 2"),
        ("rt_1/blessed", "route 3"),
    ]
    assert good.broken == []


def kept_champion(*more):
    """Return the log of m_1, which an operator made the champion at once, and of a later canary of m_2; `more` is added."""
    records = log()
    for name in ("blessed", "canary", "route"):
        del records[name]
    return records | {
        "override": RouteRecord(epoch=2, at=40.0, champion="m_1", weights={"m_1": 100}, by="ann", **BASE),
        "canary of m_2": RetrainingRecord(
            retraining_id="rt_2", state="canary", at=50.0, model_version="m_2", numbers={"epoch": 3.0},
            by="delivery", reason="", **BASE,
        ),
        "route of m_2": RouteRecord(
            epoch=3, at=50.0, champion="m_1", challenger="m_2", weights={"m_1": 95, "m_2": 5}, by="delivery",
            retraining_id="rt_2", **BASE,
        ),
    } | {record.state: record for record in more}  # fmt: skip


@pytest.mark.parametrize("more", [[], [state("refused", 30.0, model_version="m_1")]])
def test_delivery_may_keep_a_champion_that_an_operator_chose(more):
    assert broken(kept_champion(*more)) == set()


def test_a_champion_that_delivery_promoted_needs_a_decision_also_in_later_routes():
    promoted = state("promoted", 45.0, model_version="m_1", numbers={"epoch": 2.0}, by="delivery")
    assert broken(kept_champion(promoted)) == {("m_1", "route 3")}


def test_the_route_of_another_tenant_with_the_same_epoch_is_not_in_the_chain():
    other = RouteRecord(epoch=2, at=41.0, tenant="elm", model="m", champion="m_9", weights={"m_9": 100}, by="delivery")
    records = log()
    chain = chain_of(facts_of(records | {"other": other}), "m_1", DATASET)
    place = f"t-0@{list(records).index('route')}"
    assert [node.place for node in chain.nodes if node.kind == "route"] == [place]
    del records["route"]
    assert broken(records | {"other": msgspec.structs.replace(other, epoch=9)}) == {("rt_1/canary", "route 2")}


def test_a_route_at_the_rounded_time_of_its_decision_is_after_the_decision():
    records = log() | {"blessed": state("blessed", 40.000_000_2, model_version="m_1")}
    assert chain_of(facts_of(records), "m_1", DATASET).broken == []
