import msgspec
import pytest
from support.alert_log import bucket_finding
from support.alert_records import alert
from support.ledger_log import Log
from support.signal_log import MODEL, finding_of

from stream.ledger import window_history
from stream.ledger.decisions import Decisions
from stream.ledger.queries.console_queries import _around
from stream.ledger.window_history import Series, StreamName, series, streams
from stream.wire import OWN_TENANT

NAME = StreamName(tenant="acme", model=MODEL, side="input", detector="drift")


@pytest.fixture
def decisions():
    decisions = Decisions(":memory:", retention_seconds=3600.0)
    yield decisions
    decisions.close()


@pytest.fixture
def apply(decisions):
    log = Log()
    return lambda *events: decisions.apply(log.records("weir.findings", *events))


def stored(decisions):
    return decisions.database.execute("SELECT count(*) FROM windows").fetchone()[0]


def test_windows_are_ordered_by_time_and_duplicates_ignored(decisions, apply):
    apply(*(bucket_finding(number, alarm=number in (4, 5)) for number in (3, 1, 5, 2, 4)))
    found = series(decisions.database, NAME, 0.0, 1e9)
    assert found.time == [10.0, 15.0, 20.0, 25.0, 30.0]
    assert found.alarm == [False, False, False, True, True]
    assert found.limit == [10.0] * 5
    assert (found.latest.time, found.changed.time) == (30.0, 30.0)
    assert series(decisions.database, NAME, 0.0, 20.0).changed is None
    assert series(decisions.database, NAME, 100.0, 200.0) == Series()
    apply(bucket_finding(1), bucket_finding(4, alarm=False))
    assert series(decisions.database, NAME, 0.0, 1e9) == found


def test_the_change_of_a_resolved_alert_is_not_that_of_a_later_alert(decisions, apply):
    apply(*(bucket_finding(number, alarm=number in (4, 5, 40)) for number in range(1, 50)))
    fields = {"model": MODEL, "side": "input", "detector": "drift", "tenant": "acme", "opened_at": 25.0}
    for resolved_at, changed in ((40.0, 30.0), (None, 205.0)):
        found = _around(decisions.database, alert(**fields, resolved_at=resolved_at, at=40.0))
        assert (found.latest.time, found.changed.time) == (250.0, changed)


def test_findings_of_one_event_and_of_weirs_own_sources_are_not_windows(decisions, apply):
    own = bucket_finding(1)
    apply(finding_of("r1", 5.0, "pii"))
    for model, expected in (("", 0), ("m", 1)):
        data = msgspec.structs.replace(own.data, tenant=OWN_TENANT, model=model)
        apply(msgspec.structs.replace(own, id=model or "-", data=data))
        assert stored(decisions) == expected, "a sentinel's finding is about a model"


def test_streams_in_alarm_are_first_then_by_statistic_over_limit(decisions, apply):
    apply(bucket_finding(1, alarm=False), bucket_finding(1, "anomaly", side="output"), bucket_finding(2, alarm=False))
    found = streams(decisions.database)
    assert [(one.detector, one.alarm, one.time) for one in found] == [("anomaly", True, 10.0), ("drift", False, 15.0)]
    assert streams(decisions.database, "nobody") == []


def test_windows_expire_by_age_and_by_number(decisions, apply, monkeypatch):
    apply(*(bucket_finding(number) for number in range(1000)))
    decisions.expire()
    assert stored(decisions) == 721, "windows of 5 s in an hour, including both ends"
    monkeypatch.setattr(window_history, "_MOST", 100)
    decisions.expire()
    assert stored(decisions) == 101
    assert series(decisions.database, NAME, 0.0, 1e9).time[-1] == 5000.0


def test_a_stream_stays_listed_while_the_windows_of_others_push_out_its_own(decisions, apply, monkeypatch):
    monkeypatch.setattr(window_history, "_MOST", 100)
    apply(bucket_finding(1, side="output"), *(bucket_finding(number) for number in range(2, 300)))
    decisions.expire()
    assert stored(decisions) == 101
    assert {one.side for one in streams(decisions.database)} == {"input", "output"}
    apply(bucket_finding(1000))
    decisions.expire()
    assert {one.side for one in streams(decisions.database)} == {"input"}, "its window is older than the retention"


def test_a_long_series_is_thinned_and_keeps_its_peaks(decisions, apply, monkeypatch):
    monkeypatch.setattr(window_history, "_POINTS", 10)
    events = [bucket_finding(number, alarm=False) for number in range(95)]
    peak = msgspec.structs.replace(events[47].data, statistic=777.0, alarm=True)
    events[47] = msgspec.structs.replace(events[47], data=peak)
    apply(*events)
    found = series(decisions.database, NAME, 0.0, 1e9)
    assert len(found.time) <= 10
    assert found.statistic.count(777.0) == 1
    assert found.alarm.count(True) == 1


def test_part_groups_are_separate_streams(decisions, apply):
    apply(bucket_finding(1), bucket_finding(1, part="tool_result"))
    assert sorted(one.side for one in streams(decisions.database)) == ["input", "input/tool_result"]
    name = msgspec.structs.replace(NAME, side="input/tool_result")
    assert series(decisions.database, name, 0.0, 1e9).time == [10.0]
