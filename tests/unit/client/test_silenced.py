"""Alerts that the client yields during and after a silence."""

import msgspec
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


def test_only_alerts_within_a_silence_are_marked():
    later = alert(alert_id="al_2", at=200.0)
    before = alert(alert_id="al_3", at=99.0)
    assert yielded(SILENCE, ALERT, later, before) == [
        ("al_1", "firing", True),
        ("al_2", "firing", False),
        ("al_3", "firing", False),
    ]


def test_an_alert_that_fires_after_its_silence_is_yielded_once_more():
    goes_on = [alert(revision=number, at=150.0 + 30 * number) for number in range(5)]
    assert yielded(SILENCE, *goes_on) == [("al_1", "firing", True), ("al_1", "firing", False)]


def test_a_silence_does_not_yield_a_known_alert_again():
    assert yielded(SILENCE, alert(at=90.0), alert(revision=1)) == [("al_1", "firing", False)]


def test_a_resolution_within_a_silence_is_marked():
    resolved = alert(revision=1, state="resolved", resolved_at=150.0)
    assert yielded(SILENCE, alert(at=90.0), resolved) == [("al_1", "firing", False), ("al_1", "resolved", True)]


def test_after_the_silence_was_ended_the_next_is_yielded():
    ended = msgspec.structs.replace(SILENCE, at=160.0, until=160.0)
    assert yielded(SILENCE, ALERT, ended, alert(alert_id="al_2", at=170.0)) == [
        ("al_1", "firing", True),
        ("al_2", "firing", False),
    ]


def test_updates_are_marked_too():
    assert yielded(SILENCE, ALERT, alert(revision=1, at=210.0), updates=True) == [
        ("al_1", "firing", True),
        ("al_1", "firing", False),
    ]
