"""The comparison of the alerts of two versions."""

import msgspec
import pytest

from stream.replay.alert_diff import compare
from stream.replay.timeline import ReplayedAlert


def alert(opened, *, detector="pii", tenant="acme", **more):
    fields = {
        "alert_id": f"{tenant}/{detector}/{opened}/{sorted(more.items())}",
        "tenant": tenant,
        "model": "m",
        "side": "input",
        "detector": detector,
        "feature": "",
        "bucket": int(opened // 10),
        "bucket_seconds": 10.0,
        "opened_at": float(opened),
    }
    return ReplayedAlert(**(fields | more))


def diff(before, after, *, windows=3, since=0.0):
    return compare(before, after, windows=windows, counts=lambda one: one.opened_at >= since)


def test_equal_alerts_and_another_id_in_the_same_window_do_not_differ():
    alerts = [alert(5), alert(65), alert(65, detector="drift")]
    found = diff(alerts, list(reversed(alerts)))
    assert (found.empty, found.unchanged) == (True, 3)
    assert diff([alert(61)], [alert(69)]).empty


def test_an_alert_of_one_version_appeared_or_vanished():
    found = diff([alert(5), alert(200)], [alert(5), alert(500), alert(5, tenant="other")])
    assert [one.opened_at for one in found.vanished] == [200]
    assert [(one.tenant, one.opened_at) for one in found.appeared] == [("other", 5), ("acme", 500)]
    sums = {(one.tenant, one.detector): (one.appeared, one.vanished, one.moved, one.unchanged) for one in found.by}
    assert sums == {("acme", "pii"): (1, 1, 0, 1), ("other", "pii"): (1, 0, 0, 0)}


@pytest.mark.parametrize(("windows", "moved"), [(3, 1), (2, 0)])
def test_an_alert_within_the_windows_has_moved_and_beyond_them_one_vanished_and_one_appeared(windows, moved):
    found = diff([alert(5)], [alert(35)], windows=windows)
    assert len(found.moved) == moved
    assert len(found.vanished) == len(found.appeared) == 1 - moved
    assert [one.changes for one in found.moved] == [("opened",)] * moved


@pytest.mark.parametrize(
    ("replayed", "changes", "moved", "unchanged"),
    [(90, ("opened",), 1, 0), (150, ("opened",), 1, 0), (60, (), 0, 1), (240, (), 0, 0)],
)
def test_windows_of_another_width_are_compared_by_time(replayed, changes, moved, unchanged):
    """`bucket_seconds` was changed after the findings were recorded.

    The recorded alert opened at the end of the window 50 s to 60 s.
    """
    recorded = alert(60, bucket=5)
    other = alert(replayed, bucket=replayed // 30 - 1, bucket_seconds=30.0)
    found = diff([recorded], [other])
    assert (len(found.moved), found.unchanged) == (moved, unchanged)
    assert len(found.vanished) == len(found.appeared) == 1 - moved - unchanged
    assert [one.changes for one in found.moved] == [changes] * moved


def test_the_nearest_alerts_are_paired_first_and_each_alert_once():
    found = diff([alert(5), alert(25)], [alert(35), alert(75)], windows=8)
    assert {(one.before.opened_at, one.after.opened_at) for one in found.moved} == {(25, 35), (5, 75)}


@pytest.mark.parametrize(
    ("change", "feature"), [({"severity": "critical"}, "severity"), ({"feature": "embedding"}, "feature")]
)
def test_another_severity_or_feature_in_the_same_window_moved(change, feature):
    found = diff([alert(5, detector="drift")], [alert(5, detector="drift", **change)])
    assert [one.changes for one in found.moved] == [(feature,)]


def test_an_alert_before_the_range_counts_only_if_it_moved_into_the_range():
    found = diff([alert(95), alert(15)], [alert(105)], since=100.0)
    assert [(one.before.opened_at, one.after.opened_at) for one in found.moved] == [(95, 105)]
    assert not found.vanished
    assert found.unchanged == 0


def test_alerts_of_other_detectors_and_streams_are_not_paired():
    found = diff([alert(5)], [alert(5, side="output"), alert(5, detector="toxicity")])
    assert len(found.vanished) == 1
    assert len(found.appeared) == 2


def test_until_returns_the_state_of_an_alert_at_a_time():
    late = alert(5, severity="critical", critical_at=50.0, resolved_at=90.0)
    assert late.until(100.0) == late
    assert msgspec.structs.replace(late, resolved_at=None) == late.until(60.0)
    assert (late.until(40.0).severity, late.until(40.0).critical_at) == ("warning", None)
