"""Which retraining events can be approved."""

from types import SimpleNamespace

import pytest

from stream.settings import KafkaSettings
from stream.wire import Event, RetrainingRecord, encode
from weir.errors import NotFoundError
from weir.operate import retraining_decisions
from weir.operate.retraining_decisions import records_of


def record(retraining_id, state):
    data = RetrainingRecord(
        retraining_id=retraining_id, state=state, reason="windows: has 1, needs 2", tenant="acme", model="m", at=5.0
    )
    event = Event(id=retraining_id, source="t", type=data.event_type, time=5.0, data=data, partitionkey="k")
    return encode(event)


@pytest.fixture
def log(monkeypatch):
    class Tail:
        def __init__(self, *_arguments, **_options):
            pass

        async def records(self):
            for one in (record("rt_a", "suppressed"), record("rt_b", "requested")):
                yield SimpleNamespace(value=one.value, headers=one.headers)

    monkeypatch.setattr(retraining_decisions, "Tail", Tail)


async def test_a_request_is_found_and_a_suppressed_event_is_named_as_such(log):
    assert [one.state for one in await records_of(KafkaSettings(), "rt_b")] == ["requested"]
    with pytest.raises(
        NotFoundError, match=r"rt_a is suppressed, not requested \(windows: has 1, needs 2\); only a request"
    ):
        await records_of(KafkaSettings(), "rt_a")
    with pytest.raises(NotFoundError, match="no retraining request 'rt_c'"):
        await records_of(KafkaSettings(), "rt_c")
