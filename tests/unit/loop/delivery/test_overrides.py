"""Operators' overrides: they end a canary, promote a version or take it back, also if delivery dies between two routes."""

import msgspec

from stream.loop.delivery.machine import Delivery
from stream.loop.delivery.records import progress_event
from stream.loop.delivery.route_store import add_override, read_overrides, remove_overrides
from stream.loop.delivery.state import ModelDelivery
from stream.loop.settings import DeliverySettings
from stream.wire import RetrainingRecord
from stream.wire.route_files import BASE, RouteOverride

M1, M2 = "m_111111111111", "m_222222222222"
DIRECT = DeliverySettings(shadow_share=0, steps=(50, 100), min_events=20)


def blessed(version=M1, identity="rt_1"):
    return RetrainingRecord(
        retraining_id=identity, state="blessed", reason="", tenant="t", model="m", at=0.0, model_version=version
    )


def fresh():
    return ModelDelivery(tenant="t", model="m")


def order(version):
    return RouteOverride(tenant="t", model="m", version=version, at=1.0, by="jo", reason="because")


def states(decisions):
    return [decision.progress.state for decision in decisions]


def test_an_operator_ends_a_canary_promotes_it_or_returns_to_the_previous_version():
    killed = fresh()
    delivery = Delivery(killed, DIRECT)
    delivery.progress(blessed(), 0.0)
    (decision,) = delivery.override(order(BASE), 5.0)
    assert (decision.progress.state, decision.route.weights, decision.route.by) == ("rolled_back", {BASE: 100}, "jo")
    assert not delivery.override(order(BASE), 5.0), "the same override a second time makes no new route"

    promoted = fresh()
    delivery = Delivery(promoted, DIRECT)
    delivery.progress(blessed(), 0.0)
    (decision,) = delivery.override(order(M1), 5.0)
    assert (decision.progress.state, decision.route.champion) == ("promoted", M1)
    (decision,) = delivery.override(order(BASE), 6.0)
    assert (decision.route.champion, decision.route.previous) == (BASE, BASE)


def test_an_override_away_from_a_promoted_version_rolls_it_back_and_an_override_to_it_promotes_it():
    def shown(decision):
        told = decision.progress
        return told and (told.retraining_id, told.state, told.model_version, told.by, told.numbers["percent"])

    def taken_back(delivery):
        decisions = [delivery.override(order(version), at) for at, version in enumerate([BASE, M1, M2, M1, BASE])]
        assert [decision.progress and progress_event(decision.progress, decision.route).id for (decision,) in decisions][:2] == [
            "rt_1/rolled_back/3", "rt_1/promoted/4",
        ]  # fmt: skip
        return [shown(decision) for (decision,) in decisions]

    delivery = Delivery(fresh(), DIRECT)
    delivery.progress(blessed(), 0.0, "trace")
    (promoted,) = delivery.override(order(M1), 5.0)
    back, again = ("rt_1", "rolled_back", M1, "jo", 0.0), ("rt_1", "promoted", M1, "jo", 100.0)
    expected = [back, again, None, None, back]  # M2 has no request, and M1 after M2 is no promotion
    assert taken_back(delivery) == expected

    restarted = Delivery(fresh(), DIRECT)  # restored from the log, without a stored state
    restarted.adopt(promoted.route)
    restarted.adopt(msgspec.structs.replace(promoted.route, epoch=2))
    restarted.progress(promoted.progress, 6.0, "trace")
    assert taken_back(restarted) == expected


def test_a_version_that_answers_again_instead_of_a_canary_is_promoted_again():
    delivery = Delivery(fresh(), DIRECT)
    delivery.progress(blessed(), 0.0)
    delivery.override(order(M1), 1.0)
    delivery.override(order(BASE), 2.0)
    delivery.progress(blessed(M2, "rt_2"), 9.0)
    ended, again = delivery.override(order(M1), 4.0)
    assert (ended.progress.retraining_id, ended.progress.state) == ("rt_2", "rolled_back")
    assert (again.progress.retraining_id, again.progress.state, again.progress.model_version) == (
        "rt_1",
        "promoted",
        M1,
    )
    assert [one.route.weights for one in (ended, again)] == [{BASE: 100}, {M1: 100}]
    assert again.route.epoch == ended.route.epoch + 1
    assert (ended.route.at, again.route.at) == (9.0, 9.0)
    delivery.progress(blessed(M2, "rt_3"), 10.0)
    assert states(delivery.override(order(BASE), 11.0)) == ["rolled_back", "rolled_back"], "of the canary and of M1"


def test_an_override_applies_again_if_delivery_dies_between_its_two_routes():
    state = fresh()
    delivery = Delivery(state, DIRECT)
    delivery.progress(blessed(), 0.0)
    delivery.override(order(M1), 1.0)
    delivery.progress(blessed(M2, "rt_2"), 2.0)
    stored = msgspec.msgpack.encode(state)
    ended, taken_back = delivery.override(order(BASE), 3.0)
    restored = msgspec.msgpack.decode(stored, type=ModelDelivery)
    restarted = Delivery(restored, DIRECT)
    restarted.adopt(ended.route)
    assert restarted.override(order(BASE), 3.0) == [taken_back]
    assert (taken_back.progress.retraining_id, taken_back.progress.state) == ("rt_1", "rolled_back")
    assert (restored.champion, restored.epoch) == (BASE, taken_back.route.epoch)


def test_an_override_replaces_an_earlier_one_of_its_model_and_only_published_ones_are_removed(tmp_path):
    first, other, later = order(M1), msgspec.structs.replace(order(M1), tenant="u"), order(M2)
    for one in (first, other, later):
        add_override(tmp_path, one)
    assert read_overrides(tmp_path) == (other, later)
    remove_overrides(tmp_path, [first, other])
    assert read_overrides(tmp_path) == (later,)
