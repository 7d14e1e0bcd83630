"""The decision of the gate from paired scores: blessed, or refused with a reason."""

import random
from math import nan

import msgspec
import pytest

from stream.loop.gate.machine import Finding, GateMachine
from stream.loop.gate.report import GateReport, markdown

ALPHA, MARGIN = 0.05, 0.15


def machine(held_out=40):
    return GateMachine(alpha=ALPHA, margin=MARGIN, held_out=held_out)


def fill(gate, *families, count=60, champion=0.0, challenger=0.0):
    for family in families:
        for _ in range(count):
            gate.add(family, champion, challenger)
    return gate


def test_an_equal_challenger_is_blessed_with_its_numbers():
    decision = fill(machine(), "tasks", "held_out", "safety").decide()

    assert decision.state == "blessed"
    assert "tasks, held_out, safety" in decision.reason
    assert decision.numbers["tasks.pairs"] == 60
    assert decision.numbers["tasks.log10_e_safe"] > 1.3


def test_a_challenger_without_finite_likelihoods_is_refused_with_numbers_that_can_be_read():
    """The weights of an adapter can overflow, and a `null` in the numbers would make the record unreadable."""
    gate = machine()
    for _ in range(20):
        gate.add("held_out", 3.0, nan, difference=1.0)
    decision = gate.decide()

    assert decision.state == "refused"
    assert msgspec.json.decode(msgspec.json.encode(decision.numbers), type=dict[str, float]) == decision.numbers


@pytest.mark.parametrize("family", ["tasks", "held_out", "safety"])
def test_one_worse_family_is_a_refusal(family):
    gate = machine()
    fill(gate, *{"tasks", "held_out", "safety"} - {family})
    fill(gate, family, count=20, challenger=1.0)

    assert gate.harmed
    assert gate.is_decided("tasks")
    assert gate.decide().state == "refused"
    reason = gate.decide().reason
    assert reason.startswith(f"worse: {family}: mean difference +1.00 over 20 prompts, e-value ")
    assert reason.endswith(", limit 160; train a version on other rows or with other settings")
    fill(gate, family, count=40, champion=1.0)
    assert gate.harmed, "evidence after any prompt is enough"
    assert reason.partition("e-value")[2] == gate.decide().reason.partition("e-value")[2], (
        "the highest e-value is named"
    )
    report = {one.name: one for one in gate.decide().families}[family]
    assert (report.champion, report.challenger) == (40 / 60, 20 / 60)


def test_evidence_that_would_be_enough_for_one_test_of_harm_is_not_enough_for_one_of_eight():
    gate = machine()
    fill(gate, "tasks", count=6, challenger=1.0)
    assert gate.decide().families[0].e_harm >= 1 / ALPHA
    assert not gate.harmed
    assert not gate.is_decided("tasks")


def test_one_worse_kind_of_safety_prompts_is_a_refusal():
    gate = fill(machine(), "tasks", "held_out", "safety")
    for _ in range(14):
        gate.add("safety", 0.0, 1.0, kind="toxicity")

    assert "safety.toxicity" in gate.decide().reason


def test_too_few_prompts_are_inconclusive():
    decision = fill(machine(), "tasks", "held_out", "safety", count=10).decide()

    assert decision.state == "refused"
    assert decision.reason.startswith("inconclusive: tasks")
    assert decision.reason.endswith("needs 20 for the margin 0.15; use more prompts or a larger margin")


def test_a_family_that_ran_out_of_time_is_named():
    gate = fill(fill(machine(), "held_out", "safety"), "tasks", count=5)

    assert gate.decide(missing={"tasks": "out of time: raise max_seconds"}).reason.endswith("raise max_seconds")


def test_the_report_explains_why_a_family_passed_although_its_last_evidence_is_low():
    gate = fill(machine(), "held_out", "safety")
    fill(gate, "tasks", count=30)
    fill(gate, "tasks", count=1, challenger=1.0)
    decision = gate.decide()
    report = GateReport(
        version="m_0123456789ab",
        champion="base",
        dataset_digest="",
        decision=decision,
        numbers=decision.numbers,
        alpha=ALPHA,
        margin=MARGIN,
        seconds=1.0,
        cases={},
        triggers={},
        versions={},
    )
    tasks = decision.families[0]
    assert (decision.state, tasks.safe) == ("blessed", True)
    assert tasks.e_safe < 20
    assert "was 20 or more after any of its prompts" in markdown(report)


def test_few_held_out_conversations_are_not_needed_for_a_decision():
    gate = fill(machine(held_out=4), "tasks", "safety")
    fill(gate, "held_out", count=4)

    assert gate.decide().state == "blessed"


def test_a_poisoning_finding_is_a_refusal_that_names_it():
    finding = Finding(check="rows of one API key", name="ak_1", count=10_000, bound=50)
    decision = fill(machine(), "tasks", "held_out", "safety").decide([finding])

    assert (
        decision.reason
        == "poisoning: rows of one API key: ak_1: 10000, bound 50; check these rows, leave out API keys with loop.dataset.exclude_keys, then train again"
    )
    many = machine().decide([finding, msgspec.structs.replace(finding, name="ak_2", count=51), *[finding] * 7])
    assert "ak_1: 10000, bound 50; rows of one API key: ak_2: 51, bound 50;" in many.reason
    assert " and 1 more; check these rows" in many.reason


def test_a_challenger_that_is_worse_by_the_margin_is_rarely_blessed():
    blessed = 0
    for seed in range(300):
        generator, gate = random.Random(seed), fill(machine(), "held_out", "safety")
        for _ in range(60):
            worse = generator.random()
            champion, challenger = (0.0, 1.0) if worse < 0.2 else (1.0, 0.0) if worse < 0.25 else (0.0, 0.0)
            gate.add("tasks", champion, challenger)
        blessed += gate.decide().state == "blessed"

    assert blessed <= 300 * ALPHA + 2 * (300 * ALPHA) ** 0.5
