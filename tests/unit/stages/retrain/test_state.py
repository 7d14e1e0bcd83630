"""The two table values of a model's retraining state."""

import pytest
from support import alert_records
from support.alert_log import settings

from stream.errors import StateUnreadable
from stream.stages.retrain.machine import Retraining
from stream.stages.retrain.state import AlertsHalf, ModelState, RequestsHalf, decode, half_key, model_key
from stream.stages.shared.state_codec import encode, offset_order
from stream.wire import RetrainingRecord, tenant_model_key

MODEL_KEY = tenant_model_key("acme", "m")


def applied(alerts, records):
    """Return the state after the given numbers of alerts and of retraining records."""
    state, stage = ModelState(tenant="acme", model="m"), Retraining(settings())
    for offset in range(alerts):
        record = alert_records.alert(f"al_{offset}", detector="pii", at=100.0 + offset, model="m")
        stage.alert(state, alert_records.event(record), offset)
    for offset in range(records):
        started = RetrainingRecord(
            retraining_id="rt_1",
            state="started",
            reason="",
            tenant="acme",
            model="m",
            at=100.0,
            epoch=offset + 1,
            lease_until=200.0,
        )
        stage.progress(state.requests, started, offset)
    return state


def recovered(*states):
    """Return, for each key, the value with the largest order, as recovery does."""
    rows = {}
    for state in states:
        for half in (state.alerts, state.requests):
            key, value = half_key(MODEL_KEY, half).encode(), encode(half)
            if key not in rows or offset_order(key, value) >= offset_order(key, rows[key]):
                rows[key] = value
    return {key: decode(value) for key, value in rows.items()}


@pytest.mark.parametrize("swapped", [False, True])
def test_if_two_writers_are_ahead_in_different_topics_no_record_is_lost(swapped):
    one, other = applied(alerts=5, records=1), applied(alerts=4, records=6)
    rows = recovered(*((other, one) if swapped else (one, other)))
    halves = {type(half): half for half in rows.values()}
    assert list(halves[AlertsHalf].firing) == [f"al_{offset}" for offset in range(5)]
    assert halves[RequestsHalf].epoch == 6


@pytest.mark.parametrize("half", [AlertsHalf(), RequestsHalf()])
def test_the_key_of_a_half_names_its_model(half):
    assert model_key(half_key(MODEL_KEY, half)) == MODEL_KEY
    assert model_key(MODEL_KEY) == MODEL_KEY
    assert decode(encode(half)) == half


def test_the_single_value_of_version_1_is_unreadable():
    with pytest.raises(StateUnreadable, match="AlertsHalf or RequestsHalf"):
        decode(b"\x81\xa7version\x01")
