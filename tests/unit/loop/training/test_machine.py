"""Selection of the request that a trainer works on, by mode, approval, lease and epoch."""

import msgspec
import pytest

from stream.loop.settings import LoopSettings
from stream.loop.training.machine import TrainerMachine
from stream.wire import RetrainingRecord


def record(state, at=0.0, name="rt_1", **fields):
    return RetrainingRecord(retraining_id=name, state=state, tenant="acme", model="m", at=at, **{"reason": ""} | fields)


def machine(*records, **settings):
    made = TrainerMachine(lambda _tenant: LoopSettings(**settings))
    for one in records:
        made.apply(one)
    return made


@pytest.mark.parametrize(
    ("mode", "states", "taken"),
    [
        ("propose", ["requested"], False),
        ("propose", ["requested", "approved"], False),
        ("approve", ["requested"], False),
        ("approve", ["requested", "approved"], True),
        ("approve", ["requested", "approved", "rejected"], False),
        ("approve", ["requested", "rejected"], False),
        ("approve", ["requested", "rejected", "approved"], False),
        ("auto", ["requested", "rejected", "approved"], False),
        ("auto", ["requested"], True),
        ("auto", ["requested", "rejected"], False),
        ("auto", ["suppressed"], False),
        ("auto", ["requested", "failed"], False),
        ("auto", ["requested", "failed", "approved"], True),
        ("auto", ["approved"], False),
    ],
)
def test_the_mode_decides_which_requests_a_trainer_selects(mode, states, taken):
    work = machine(*(record(state, float(n)) for n, state in enumerate(states)), mode=mode).next(100.0)
    assert (work is not None) is taken


def test_only_approvals_of_the_configured_keys_count():
    approved = [record("requested"), record("approved", by="k_other")]
    assert machine(*approved, mode="approve", approvers=("k_boss",)).next(1.0) is None
    assert machine(*approved, record("approved", by="k_boss"), mode="approve", approvers=("k_boss",)).next(1.0)


def test_the_oldest_request_is_selected_first():
    other = msgspec.structs.replace(record("requested", 5.0, "rt_b"), model="other")
    found = machine(other, record("requested", 3.0, "rt_a"), mode="auto").next(10.0)
    assert found.request.retraining_id == "rt_a"
    assert found.epoch == 1


def test_after_a_change_from_propose_to_auto_only_the_newest_request_of_a_model_is_selected():
    old = [record("requested", float(at), f"rt_{at}") for at in (3, 9, 5)]
    trainer = machine(*old, mode="auto")
    assert trainer.next(10.0).request.retraining_id == "rt_9"
    trainer.apply(record("dataset", 11.0, "rt_9", epoch=1, lease_until=99.0))
    assert trainer.next(12.0) is None
    assert machine(*old, record("approved", 13.0, "rt_3"), mode="approve").next(14.0).request.retraining_id == "rt_3"


def test_after_its_lease_has_ended_a_request_is_selected_with_its_dataset():
    owned = [
        record("requested"),
        record("dataset", 1.0, epoch=1, lease_until=20.0, dataset_digest="dd"),
        record("progress", 15.0, epoch=1, lease_until=35.0),
    ]
    assert machine(*owned, mode="auto").next(34.0) is None
    work = machine(*owned, mode="auto").next(36.0)
    assert (work.epoch, work.dataset_digest) == (2, "dd")


def test_records_of_an_earlier_owner_are_ignored():
    made = machine(
        record("requested"),
        record("started", 1.0, epoch=1, lease_until=10.0),
        record("started", 12.0, epoch=2, lease_until=30.0),
        record("trained", 13.0, epoch=1, lease_until=99.0, model_version="m_stale"),
        mode="auto",
    )
    work = made.next(31.0)
    assert (work.epoch, work.model_version) == (3, "")


def test_a_final_state_from_an_earlier_owner_does_not_end_the_work_of_the_present_owner():
    owned = [
        record("requested"),
        record("started", 1.0, epoch=1, lease_until=10.0),
        record("started", 12.0, epoch=2, lease_until=30.0),
    ]
    for state in ("failed", "refused", "blessed"):
        made = machine(*owned, record(state, 13.0, epoch=1, model_version="m_stale"), mode="auto")
        assert made.state("rt_1") == "started"
        work = made.next(31.0)
        assert (work.epoch, work.model_version) == (3, "")
        assert machine(*owned, record(state, 13.0, epoch=2), mode="auto").next(31.0) is None


def test_a_rejection_is_final():
    made = machine(record("requested"), record("rejected"), record("approved"), record("started", epoch=1))
    assert made.state("rt_1") == "rejected"
    assert made.state("rt_2") == ""


def test_a_request_that_an_external_trainer_started_is_not_selected():
    assert machine(record("requested"), record("started", 1.0, by="mine"), mode="auto").next(1e9) is None


@pytest.mark.parametrize("state", ["blessed", "refused", "failed", "shadow", "canary", "promoted", "completed"])
def test_a_decided_request_is_not_selected(state):
    trained = [record("requested"), record("trained", 1.0, epoch=1, lease_until=5.0, model_version="m_1")]
    assert machine(*trained, mode="auto").next(9.0).model_version == "m_1"
    assert machine(*trained, record(state, 6.0, epoch=1), mode="auto").next(9.0) is None


def test_duplicate_records_are_ignored():
    records = [record("requested"), record("started", 1.0, epoch=1, lease_until=10.0), record("failed", 2.0, epoch=1)]
    once, twice = machine(*records, mode="auto"), machine(*records, *records[:1], mode="auto")
    assert once.next(99.0) is twice.next(99.0) is None
    assert msgspec.json.encode(once.work_on("rt_1")) == msgspec.json.encode(twice.work_on("rt_1"))


@pytest.mark.parametrize(
    ("later", "ends"),
    [
        (record("approved", 2.0), False),
        (record("started", 2.0, epoch=1, lease_until=10.0), False),
        (record("started", 2.0, epoch=2, lease_until=10.0), True),
        (record("rejected", 2.0), True),
    ],
    ids=["approved", "its own", "another owner's", "rejected"],
)
def test_a_run_ends_at_a_rejection_or_if_another_trainer_owns_the_request(later, ends):
    made = machine(record("requested"), mode="auto")
    work = made.next(1.0)
    made.apply(later)
    assert made.must_end(work) is ends
