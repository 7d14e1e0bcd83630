"""Alerts that the client yields during and after a silence."""

import msgspec
import pytest
from support import alert_records as records

from weir.client.client import _ChangeFilter

ALERT = records.alert(at=150.0)
SILENCE = records.silence(ALERT, 100.0, 200.0)


def alert(**changes):
    return msgspec.structs.replace(ALERT, **changes)


def yielded(*records, updates=False):
    changes = _ChangeFilter(updates=updates)
    found = [item for item in map(changes.alert, records) if item is not None]
    return [(item.alert_id, item.state, item.silenced) for item in found]


FIRING, MARKED = ("al_1", "firing", False), ("al_1", "firing", True)
ENDED = msgspec.structs.replace(SILENCE, at=160.0, until=160.0)
LATER = [alert(revision=number, at=150.0 + 30 * number) for number in range(5)]
RESOLVED = alert(revision=1, state="resolved", resolved_at=150.0)


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([SILENCE, ALERT], [MARKED]),
        ([SILENCE, alert(at=200.0)], [FIRING]),
        ([SILENCE, alert(at=99.0)], [FIRING]),
        ([SILENCE, *LATER], [MARKED, FIRING]),  # it fires after its silence, and is yielded once more
        ([SILENCE, alert(at=90.0), alert(revision=1)], [FIRING]),  # a silence yields no known alert again
        ([SILENCE, alert(at=90.0), RESOLVED], [FIRING, ("al_1", "resolved", True)]),
        ([SILENCE, ALERT, ENDED, alert(alert_id="al_2", at=170.0)], [MARKED, ("al_2", "firing", False)]),
    ],
)
def test_alerts_within_a_silence_are_marked(records, found):
    assert yielded(*records) == found


def test_updates_are_marked_too():
    assert yielded(SILENCE, ALERT, alert(revision=1, at=210.0), updates=True) == [MARKED, FIRING]
