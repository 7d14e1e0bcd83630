"""The events that a program receives: their fields, and the changes of retraining requests."""

import msgspec
import pytest

from stream.contract.examples import example_event
from stream.wire import AlertRecord, RetrainingRecord
from weir.client.client import _ChangeFilter


@pytest.mark.parametrize(
    ("published", "received"),
    [
        (["requested 1", "requested 1"], ["requested 1"]),
        (["requested 1", "approved 2", "requested 1"], ["requested 1", "approved 2"]),
        (["requested 1", "started 2", "progress 3", "requested 1", "started 2", "progress 4"],
         ["requested 1", "started 2", "progress 3", "progress 4"]),
        (["started 2", "failed 3", "started 4"], ["started 2", "failed 3", "started 4"]),
        (["approved 2", "approved 3"], ["approved 2"]),
    ],
)  # fmt: skip
def test_a_state_that_is_published_again_is_received_once(published, received):
    changes, found = _ChangeFilter(), []
    for item in published:
        state, at = item.split()
        record = RetrainingRecord(
            retraining_id="re_1", state=state, reason="", tenant="acme", model="m", at=float(at), alert_ids=()
        )
        event = changes.retraining(record)
        found += [] if event is None else [f"{event.state} {event.at:g}"]
    assert found == received


@pytest.mark.parametrize(("kind", "more"), [(AlertRecord, {"silenced"}), (RetrainingRecord, set())])
def test_a_program_receives_and_json_prints_every_field_of_the_event(kind, more):
    data = example_event(kind.event_type).data
    changes = _ChangeFilter()
    found = changes.alert(data) or changes.retraining(data)
    assert msgspec.structs.asdict(data).items() <= msgspec.structs.asdict(found).items()
    assert set(msgspec.json.decode(msgspec.json.encode(found))) == {*kind.__struct_fields__, *more}
