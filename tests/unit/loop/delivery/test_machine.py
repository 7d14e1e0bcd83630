"""Decisions of delivery: they depend only on the inputs; harmful challengers are rolled back, equal challengers rarely."""

import random

import msgspec
import pytest

from stream.loop.delivery.machine import Delivery
from stream.loop.delivery.records import progress_event, route_event
from stream.loop.delivery.state import HeldVerdict, ModelDelivery
from stream.loop.settings import DeliverySettings
from stream.wire import RetrainingRecord
from stream.wire.ids import shadow_request_id
from stream.wire.route_files import BASE, RouteOverride, in_shadow, version_for

M1, M2 = "m_111111111111", "m_222222222222"
DIRECT = DeliverySettings(shadow_share=0, steps=(50, 100), min_events=20)


def blessed(version=M1, identity="rt_1", **more):
    return RetrainingRecord(
        retraining_id=identity, state="blessed", reason="", tenant="t", model="m", at=0.0, model_version=version, **more
    )


def fresh():
    return ModelDelivery(tenant="t", model="m")


@pytest.fixture
def state():
    return fresh()


@pytest.fixture
def delivery(state):
    return Delivery(state, DIRECT)


def verdict(time, version, flagged, *, detector="repetition", conversation=None, request=None):
    name = f"{time}/{version}/{detector}"
    return HeldVerdict(time, name, conversation or name, "t\x1fm", detector, version, flagged, request or name)


def run(settings, rates, seconds, seed, *, state=None, traffic=1.0):
    """Answer one request per second with the route in force; return the decisions in order."""
    draw, state = random.Random(seed), state or fresh()
    delivery = Delivery(state, settings)
    decisions = delivery.progress(blessed(), 0.0)
    for second in range(1, seconds):
        route = decisions[-1].route
        version = version_for(route, f"{seed}/{second}")
        answers = [version]
        if version != route.challenger and in_shadow(route, f"{seed}/{second}"):
            answers.append(route.challenger)
        for answer in answers:
            name = "b179c9523d0e" if answer == BASE else answer
            decisions += delivery.verdict(verdict(second * traffic, name, draw.random() < rates[answer != BASE]))
        decisions += delivery.clock(second * traffic)
        if state.canary is None:
            break
    return decisions


def talks(worse, seed):
    """Answer conversations of three turns, one conversation after another; the challenger's rate is higher by `worse`.

    Return the state of the last decision.
    """
    draw, state, at = random.Random(seed), fresh(), 0.0
    delivery = Delivery(state, DeliverySettings())
    decisions = delivery.progress(blessed(), at)
    for number in range(1_200):
        for rate in (0.02, 0.10, 0.40):
            route, request = decisions[-1].route, f"{seed}/{at}"
            answers = [(version_for(route, f"{seed}/{number}"), request)]
            if answers[0][0] == BASE and in_shadow(route, request):
                answers.append((M1, shadow_request_id(request, M1)))
            for version, name in answers:
                at += 1.0
                flagged = draw.random() < rate + (worse if version == M1 else 0.0)
                found = verdict(at, version.replace(BASE, "b1"), flagged, conversation=f"{number}", request=name)
                decisions += delivery.verdict(found)
            if state.canary is None:
                return states(decisions)[-1]
    return states(decisions)[-1]


def states(decisions):
    return [decision.progress.state for decision in decisions if decision.progress]


def test_equal_versions_are_rolled_back_in_at_most_alpha_of_200_canaries():
    settings = DeliverySettings(min_events=20, rollback_alpha=0.05)
    ends = [states(run(settings, (0.07, 0.07), 2_000, seed))[-1] for seed in range(200)]
    assert ends.count("rolled_back") <= 10
    assert ends.count("promoted") >= 100, "most equal versions are promoted within 2,000 requests"


@pytest.mark.parametrize(("worse", "wrong"), [(0.05, "promoted"), (0.0, "rolled_back")])
def test_decisions_are_rarely_wrong_if_later_turns_are_flagged_more(worse, wrong):
    """The challenger can answer a copy of any turn in the shadow, and all turns of a conversation in the canary."""
    assert [talks(worse, seed) for seed in range(40)].count(wrong) <= 4


def test_harmful_versions_are_rolled_back_in_at_least_95_of_100_canaries():
    ends = [states(run(DIRECT, (0.05, 0.45), 400, seed))[-1] for seed in range(100)]
    assert ends.count("rolled_back") >= 95
    assert "promoted" not in ends


def test_a_version_that_repeats_itself_is_rolled_back_within_60_requests_of_its_first_flagged_answer():
    for seed in range(20):
        decisions = run(DIRECT, (0.0, 1.0), 200, seed)
        first = next(s for s in range(1, 200) if version_for(decisions[0].route, f"{seed}/{s}") == M1)
        assert states(decisions)[-1] == "rolled_back"
        assert decisions[-1].route.at - first < 60


def test_the_same_inputs_cause_the_same_events_byte_for_byte():
    first, second = (run(DeliverySettings(min_events=10), (0.1, 0.1), 500, 7) for _ in range(2))
    encode = msgspec.json.encode
    assert [encode(route_event(d.route)) for d in first] == [encode(route_event(d.route)) for d in second]
    assert [encode(progress_event(d.progress, d.route)) for d in first] == [
        encode(progress_event(d.progress, d.route)) for d in second
    ]


def test_the_route_has_shadow_then_each_step_and_its_epoch_rises_by_one():
    decisions = run(DeliverySettings(min_events=20, steps=(5, 25, 100), shadow_share=0.5), (0.0, 0.0), 4_000, 1)
    assert states(decisions) == ["shadow", "canary", "canary", "promoted"]
    assert [d.route.epoch for d in decisions] == [1, 2, 3, 4]
    assert [d.route.weights for d in decisions] == [{BASE: 100}, {BASE: 95, M1: 5}, {BASE: 75, M1: 25}, {M1: 100}]
    assert [d.route.shadow for d in decisions] == [0.5, 0, 0, 0]
    last = decisions[-1].route
    assert (last.champion, last.previous, last.challenger) == (M1, BASE, "")


def test_a_canary_without_a_decision_holds_and_then_expires_to_the_champion():
    settings = DIRECT.model_copy(update={"hold_seconds": 100.0, "min_events": 1_000})
    decisions = run(settings, (0.0, 0.0), 200, 3)
    assert states(decisions) == ["canary", "expired"]
    assert decisions[-1].route.weights == {BASE: 100}
    assert decisions[-1].route.at == 100.0


def test_only_the_detectors_of_the_alarm_and_two_more_decide(state, delivery):
    delivery.progress(blessed(detectors=("drift", "toxicity")), 0.0)
    assert state.canary.detectors == ("failure", "refusal", "repetition", "toxicity")
    for second in range(200):
        assert not delivery.verdict(verdict(second, M1, True, detector="pii"))
        assert not delivery.verdict(verdict(second, "b1", False, detector="pii"))
    assert not state.canary.tests


@pytest.mark.parametrize(("errors", "ends"), [(True, []), (False, ["promoted"])])
def test_no_version_is_promoted_if_the_detector_of_the_alarm_could_read_no_answer(delivery, errors, ends):
    delivery.progress(blessed(detectors=("toxicity",)), 0.0)
    decisions = []
    for second in range(400):
        for detector in ("repetition", "toxicity"):
            found = verdict(second, M1 if second % 2 else "b1", False, detector=detector)
            found = msgspec.structs.replace(found, is_error=errors and detector == "toxicity")
            decisions += delivery.verdict(found)
    assert states(decisions) == ends


def test_the_detectors_of_the_request_are_stored_until_the_version_is_blessed(state, delivery):
    requested = msgspec.structs.replace(blessed(""), state="requested", detectors=("injection",))
    assert not delivery.progress(requested, 0.0)
    delivery.progress(blessed(), 1.0)
    assert "injection" in state.canary.detectors


def test_a_duplicate_verdict_and_later_answers_of_one_conversation_are_not_counted(state, delivery):
    delivery.progress(blessed(), 0.0)
    for _ in range(5):
        delivery.verdict(verdict(1, M1, True))
    assert state.canary.counts == {"repetition": 1}
    for second in range(2, 12):
        delivery.verdict(verdict(second, M1, True, conversation="c"))
    assert state.canary.counts == {"repetition": 2}
    for detector in ("refusal", "repetition"):
        delivery.verdict(verdict(12, M1, True, conversation="d", detector=detector, request="first"))
    assert state.canary.counts == {"repetition": 3, "refusal": 1}


def test_in_the_shadow_only_the_copy_of_the_first_answer_of_a_conversation_is_counted(state):
    delivery = Delivery(state, DeliverySettings())
    delivery.progress(blessed(), 0.0)
    for second, (version, request) in enumerate(
        [("b1", "r1"), ("b1", "r2"), (M1, shadow_request_id("r2", M1)), (M1, shadow_request_id("r1", M1))]
    ):
        delivery.verdict(verdict(second, version, False, conversation="c", request=request))
        assert state.canary.counts == ({"repetition": 1} if second == 3 else {})
    test = state.canary.tests["repetition"]
    assert (test.champion.events, test.challenger.events) == (1, 1)


def test_the_first_answers_of_16384_conversations_are_known_and_no_more(state):
    delivery = Delivery(state, DIRECT.model_copy(update={"min_events": 100_000}))
    delivery.progress(blessed(), 0.0)
    for second in range(32_768):
        for detector in ("refusal", "repetition"):
            found = verdict(
                second, M1, False, detector=detector, conversation=f"{second % 16_384}", request=f"{second}"
            )
            delivery.verdict(found)
    assert state.canary.counts == {"refusal": 16_384, "repetition": 16_384}
    delivery.verdict(verdict(40_000, M1, False))
    assert len(state.canary.first_answers) == 16_384


def test_a_duplicate_of_any_earlier_verdict_is_not_counted(state):
    """Score can read hours of the log again, for example after its offsets were reset."""
    delivery = Delivery(state, DIRECT.model_copy(update={"min_events": 10_000}))
    delivery.progress(blessed(), 0.0)
    verdicts = [verdict(second, version, False) for second in range(2_000) for version in ("b1", M1)]
    for one in verdicts:
        delivery.verdict(one)
    counted = msgspec.json.encode(state.canary.tests)
    for one in verdicts:
        delivery.verdict(one)
    assert state.canary.counts == {"repetition": 2_000}
    assert msgspec.json.encode(state.canary.tests) == counted
    delivery.verdict(verdict(1_500.5, M1, False))
    assert state.canary.counts == {"repetition": 2_001}, "a late verdict is counted if it cannot be a duplicate"


def test_a_state_that_is_stored_and_read_after_each_event_makes_the_same_decisions():
    """This is a kill -9 between two events: the state is read back, and a duplicate of the last event has no effect."""
    whole, state, decisions = fresh(), fresh(), []
    settings, draw = DeliverySettings(min_events=10, shadow_share=1.0), random.Random(5)
    events = [verdict(s, v, draw.random() < 0.1) for s in range(1, 400) for v in ("b1", M1)]
    expected = Delivery(whole, settings).progress(blessed(), 0.0)
    for event in events:
        expected += Delivery(whole, settings).verdict(event)
    decisions += Delivery(state, settings).progress(blessed(), 0.0)
    for event in events:
        decisions += Delivery(state, settings).verdict(event)
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ModelDelivery)
        assert not Delivery(state, settings).verdict(event)
        assert not Delivery(state, settings).progress(blessed(), event.time)
    assert decisions == expected
    assert len(decisions) > 1


def test_a_published_route_replaces_an_older_state():
    """This is a kill -9 after the route was published and before the state was stored: the route stays the only
    decision.
    """
    state, settings = fresh(), DIRECT
    (started,) = Delivery(state, settings).progress(blessed(), 0.0)
    before = msgspec.msgpack.encode(state)
    ended = run(settings, (0.0, 1.0), 200, 1)[-1].route
    older = msgspec.msgpack.decode(before, type=ModelDelivery)
    Delivery(older, settings).adopt(ended)
    assert older.canary is None
    assert older.epoch == ended.epoch == started.route.epoch + 1
    assert not Delivery(older, settings).progress(blessed(), 9.0), "the delivery of this version has ended"
    assert not Delivery(older, settings).verdict(verdict(9, M1, True))


def test_without_a_stored_state_the_canary_continues_from_its_route(state):
    decisions = run(DeliverySettings(min_events=20, shadow_share=0.5), (0.0, 0.0), 700, 1)
    route = next(d.route for d in decisions if d.route.weights.get(M1) == 5)
    Delivery(state, DeliverySettings()).adopt(route)
    assert (state.canary.version, state.canary.step, state.epoch) == (M1, 0, route.epoch)


def test_a_canary_whose_steps_became_fewer_is_still_promoted(state):
    delivery = Delivery(state, DIRECT.model_copy(update={"steps": (5, 25, 50, 100)}))
    delivery.progress(blessed(), 0.0)
    state.canary.step = 2
    delivery = Delivery(state, DIRECT)
    decisions = []
    for second in range(400):
        decisions += delivery.verdict(verdict(second, M1 if second % 2 else "b179c9523d0e", False))
    assert [(d.progress.state, d.route.weights) for d in decisions] == [("promoted", {M1: 100})]


def test_a_version_of_a_rejected_request_is_not_delivered():
    delivery = Delivery(fresh(), DeliverySettings())
    assert not delivery.progress(msgspec.structs.replace(blessed(""), state="rejected"), 0.0)
    assert not delivery.progress(blessed(), 1.0)
    assert states(delivery.progress(blessed(M1, "rt_2"), 2.0))


def test_a_rejection_that_was_sent_before_the_decision_of_the_gate_was_read_ends_the_delivery():
    delivery = Delivery(fresh(), DeliverySettings())
    delivery.progress(blessed(), 0.0)
    rejected = msgspec.structs.replace(blessed(""), state="rejected", reason="holiday traffic", by="k_1")
    (ended,) = delivery.progress(rejected, 1.0)
    assert (ended.progress.state, ended.progress.reason, ended.progress.by) == ("rolled_back", "holiday traffic", "k_1")
    assert ended.route.weights == {BASE: 100}
    assert not delivery.progress(rejected, 2.0)


def test_evidence_that_would_be_enough_for_one_detector_is_not_enough_for_one_of_several(state):
    delivery, number = Delivery(state, DIRECT), 0
    delivery.progress(blessed(), 0.0)
    while number < 2 or state.canary.tests["repetition"].e_harm < 1 / DIRECT.rollback_alpha:
        for version in ("b1", M1):
            number += 1
            assert not delivery.verdict(verdict(number, version, version == M1))


def test_a_newer_blessed_version_replaces_the_canary(delivery):
    delivery.progress(blessed(), 0.0)
    decisions = delivery.progress(blessed(M2, "rt_2"), 1.0)
    assert states(decisions) == ["expired", "canary"]
    assert decisions[-1].route.weights == {BASE: 50, M2: 50}


@pytest.mark.parametrize("flagged", [False, True])
def test_no_decision_has_an_earlier_time_than_the_one_before_it(flagged):
    """The clock of the trainer or the gate can be a minute ahead of the clock of the gateways."""
    state, settings = fresh(), DeliverySettings(shadow_share=1.0, steps=(50, 100), min_events=20)
    decisions = Delivery(state, settings).progress(blessed(), 60.0)
    for number in range(400):
        for version in ("b1", M1):
            found = verdict(number / 10, version, flagged and version == M1 and number > 30)
            decisions += Delivery(state, settings).verdict(found)
    assert states(decisions) == ["shadow", "canary", "rolled_back" if flagged else "promoted"]
    assert [decision.route.at for decision in decisions] == [60.0] * 3


def owned(*states):
    """Apply records of rt_1 with the given states and epochs; return the states that delivery decides."""
    state, decisions = fresh(), []
    for name, epoch in states:
        record = msgspec.structs.replace(blessed(), state=name, epoch=epoch)
        decisions += Delivery(state, DIRECT).progress(record, 1.0)
    return [decision.progress.state for decision in decisions]


def test_a_request_that_failed_and_was_resumed_is_delivered():
    assert owned(("dataset", 1), ("failed", 1), ("approved", 0), ("dataset", 2), ("blessed", 2)) == ["canary"]


def test_the_records_of_a_trainer_that_lost_the_request_are_ignored():
    assert owned(("started", 2), ("blessed", 1)) == []
    assert owned(("started", 2), ("failed", 1), ("blessed", 1)) == []
    assert owned(("started", 2), ("blessed", 2), ("failed", 1)) == ["canary"]
    assert owned(("started", 2), ("blessed", 2), ("failed", 2)) == ["canary", "rolled_back"]


def test_a_request_whose_training_made_the_champion_again_ends_as_promoted(delivery):
    """The weights of a version depend on the texts of its rows only, so two requests can have one version."""
    delivery.progress(blessed(), 0.0)
    delivery.override(RouteOverride(tenant="t", model="m", version=M1, at=1.0, by="jo", reason="good"), 1.0)
    delivery.progress(blessed(M2, "rt_2"), 2.0)
    ended, again = delivery.progress(blessed(M1, "rt_3"), 3.0, "trace")
    assert (ended.progress.retraining_id, ended.progress.state) == ("rt_2", "expired")
    assert (again.progress.retraining_id, again.progress.state, again.traceparent) == ("rt_3", "promoted", "trace")
    assert again.progress.reason == f"{M1} answers already"
    assert (again.route.champion, again.route.previous, again.route.weights) == (M1, BASE, {M1: 100})
    restarted = Delivery(ModelDelivery(tenant="t", model="m"), DIRECT)
    restarted.adopt(again.route)
    assert [one.progress(blessed(M1, "rt_3"), 3.0) for one in (delivery, restarted)] == [[], []]


@pytest.mark.parametrize("version", ["", "b179c9523d0e"])
def test_only_a_version_that_weir_trained_is_delivered(version):
    assert not Delivery(fresh(), DIRECT).progress(blessed(version), 0.0)


def test_a_conversation_stays_with_the_challenger_while_its_share_rises():
    decisions = run(DeliverySettings(min_events=20, shadow_share=0.5), (0.0, 0.0), 4_000, 1)
    names = [f"c{number}" for number in range(2_000)]
    before: set[str] = set()
    for decision in decisions[:-1]:
        chosen = {name for name in names if version_for(decision.route, name) == M1}
        assert before <= chosen
        assert abs(len(chosen) / 20 - decision.route.weights.get(M1, 0)) < 3
        before = chosen
