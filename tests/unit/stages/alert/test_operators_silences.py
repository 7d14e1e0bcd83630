"""Muting of alerts by silences: the stream, detector and feature of an alert, and its time."""

import msgspec
import pytest
from support import alert_records
from support.alert_records import alert

from stream.silences import Silences, is_silence, silence_id_of

ALERT = alert(detector="anomaly", side="output", feature="latency_seconds")


def silence(of=ALERT, at=100.0, until=200.0):
    return alert_records.silence(of, at, until)


def silences(*records):
    known = Silences()
    for record in records:
        known.apply(record)
    return known


def other(**changes):
    return msgspec.structs.replace(ALERT, alert_id="al_2", **changes)


@pytest.mark.parametrize(("at", "muted"), [(99.9, False), (100.0, True), (199.9, True), (200.0, False)])
def test_a_silence_mutes_from_its_start_up_to_but_not_at_its_end(at, muted):
    assert bool(silences(silence()).muting(ALERT, at)) is muted


def test_an_alert_with_another_id_and_the_same_fields_is_muted():
    assert silences(silence()).muting(other(), 150.0) == [silence()]


@pytest.mark.parametrize("name", ["tenant", "model", "side", "part", "detector", "feature"])
def test_an_alert_that_differs_in_one_field_is_not_muted(name):
    assert silences(silence()).muting(other(**{name: "another"}), 150.0) == []


def test_the_alert_of_a_silence_stays_muted_if_its_feature_changes():
    moved = msgspec.structs.replace(ALERT, feature="completion_tokens")
    assert silences(silence()).muting(moved, 150.0) == [silence()]


def test_a_later_silence_replaces_an_earlier_one_and_an_ended_silence_mutes_nothing():
    longer = silence(at=120.0, until=400.0)
    known = silences(silence(), longer)
    assert known.muting(ALERT, 300.0) == [longer]
    assert known.active(300.0) == [longer]
    known.apply(silence(at=310.0, until=320.0))
    known.apply(silence(at=310.0, until=310.0))  # of two silences with the same time, the later record counts
    assert known.muting(ALERT, 310.0) == []
    assert known.active(310.0) == []


def test_a_duplicate_silence_is_ignored():
    ended = silence(at=110.0, until=110.0)
    assert silences(silence(), ended, silence()).muting(ALERT, 150.0) == []
    assert silences(silence(), ended, silence()).newest(silence_id_of(ALERT)) == ended


def test_a_record_without_a_key_is_no_silence():
    assert [is_silence(key) for key in (silence_id_of(ALERT).encode(), ALERT.alert_id.encode(), None)] == [
        True,
        False,
        False,
    ]


def test_active_silences_are_ordered_by_their_end():
    long, short = silence(other(tenant="b"), until=300.0), silence(until=200.0)
    assert silences(long, short).active(150.0) == [short, long]
