"""The parent dataset, whose rows are replayed: the dataset of the version that was promoted before."""

import msgspec
import pytest

from stream.loop.dataset.log import _parent
from stream.loop.delivery.machine import Delivery
from stream.loop.delivery.state import ModelDelivery
from stream.loop.settings import DeliverySettings
from stream.loop.training.machine import Work
from stream.loop.training.records import state_event
from stream.wire import ModelRecord, RetrainingRecord, RouteRecord
from stream.wire.route_files import RouteOverride

M1, M2 = "m_111111111111", "m_222222222222"


def requested(identity, at):
    return RetrainingRecord(retraining_id=identity, state="requested", reason="", tenant="t", model="m", at=at)


def history(identity, version, digest, at):
    """Return the records that the trainer and delivery publish, up to the promotion of the version."""
    work = Work(request=requested(identity, at), epoch=1)
    made = [
        state_event(work, "dataset", at + 1, dataset_digest=digest).data,
        *(
            state_event(work, state, at + 2, dataset_digest=digest, model_version=version).data
            for state in ("trained", "blessed")
        ),
    ]
    delivery = Delivery(ModelDelivery(tenant="t", model="m"), DeliverySettings(shadow_share=0, steps=(50, 100)))
    order = RouteOverride(tenant="t", model="m", version=version, at=at + 4, by="jo")
    decisions = delivery.progress(made[-1], at + 3) + delivery.override(order, at + 4)
    assert decisions[-1].progress.state == "promoted"
    return [work.request, *made, *(decision.progress for decision in decisions)]


FIRST, SECOND = history("rt_1", M1, "d1", 0.0), history("rt_2", M2, "d2", 10.0)


@pytest.mark.parametrize(
    ("records", "parent"),
    [
        ([], ""),
        (FIRST[:-1], ""),
        (FIRST, "d1"),
        ([*FIRST, *SECOND[:-1]], "d1"),
        ([*FIRST, *SECOND], "d2"),
        ([*FIRST, msgspec.structs.replace(FIRST[-1], model_version=M2, at=6.0)], "d1"),
        ([msgspec.structs.replace(record, tenant="other") for record in FIRST], ""),
        ([*(msgspec.structs.replace(record, tenant="other") for record in FIRST[:-1]), FIRST[-1]], ""),
    ],
)
def test_the_parent_is_the_dataset_of_the_version_that_was_promoted_before(records, parent):
    assert _parent(requested("rt_3", 20.0), records, []) == parent


def test_a_version_that_was_promoted_after_the_request_is_no_parent():
    assert _parent(requested("rt_3", 5.0 - 1), FIRST, []) == ""


def route(at, champion, previous="base", *, epoch=1, tenant="t"):
    return RouteRecord(tenant=tenant, model="m", epoch=epoch, at=at, champion=champion, previous=previous)


def made(version, digest, *, tenant="t"):
    return ModelRecord(tenant=tenant, model="m", version=version, at=1.0, dataset_digest=digest)


MADE = [made(M1, "d1"), made(M2, "d2")]


@pytest.mark.parametrize(
    ("routes", "records", "parent"),
    [
        ([route(4.0, M1)], [], "d1"),
        ([route(4.0, M1), route(14.0, M2, M1, epoch=2)], [], "d2"),
        ([route(14.0, "m_333333333333", M1)], [], "d1"),  # the champion is a smaller version, which has no dataset
        ([route(14.0, M2, M1)], SECOND[-1:], "d2"),  # after compaction: only the newest record
        ([route(24.0, M1)], [], ""),  # a version that was promoted after the request
        ([route(4.0, "base")], [], ""),
        ([route(4.0, M1, tenant="other")], [], ""),
    ],
)
def test_the_parent_is_found_after_the_retraining_records_have_expired(routes, records, parent):
    models = [*MADE, made(M1, "other", tenant="other")]
    assert _parent(requested("rt_3", 20.0), records, [*models, *routes]) == parent


ROLLED_BACK = msgspec.structs.replace(FIRST[-1], state="rolled_back", at=6.0)
ROLLED_BACK_2 = msgspec.structs.replace(SECOND[-1], state="rolled_back", at=16.0)


@pytest.mark.parametrize(
    ("routes", "records", "parent"),
    [
        ([route(4.0, M1), route(14.0, M2, M1, epoch=2), route(16.0, M1, epoch=3)], [*FIRST, *SECOND], "d1"),
        ([route(4.0, M1), route(6.0, "base", epoch=2)], FIRST, ""),
        ([route(16.0, M1, epoch=3)], SECOND[-1:], "d1"),  # after compaction of the topic
        ([route(24.0, "base", epoch=3)], [*FIRST, ROLLED_BACK], ""),  # after compaction: only a route after the request
        ([route(24.0, M1, epoch=4)], [*FIRST, *SECOND, ROLLED_BACK_2], "d1"),
        ([route(24.0, M1, epoch=4)], [*FIRST, ROLLED_BACK, FIRST[-1]], "d1"),  # promoted again
        ([route(24.0, "base", epoch=3)], [*FIRST, msgspec.structs.replace(ROLLED_BACK, at=22.0)], "d1"),
    ],
)
def test_a_version_that_an_operator_rolled_back_is_no_parent(routes, records, parent):
    assert _parent(requested("rt_3", 20.0), records, [*MADE, *routes]) == parent
