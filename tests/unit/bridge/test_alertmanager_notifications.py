import pytest
from support.alert_records import alert, resolved, silence

from stream.bridge.alert_links import AlertLinks
from stream.bridge.alertmanager_notifications import Notifications
from stream.bridge.firing_alerts import FiringAlerts

LINKS = AlertLinks(runbook="https://docs/runbook.md", trace="https://traces/{trace_id}")
SOURCE = {"detector": "silence", "feature": "source-b"}


def log_of(*records, limit=10_000):
    alerts = FiringAlerts(limit)
    for record in records:
        alerts.apply(record)
    return alerts


@pytest.fixture
def notifications():
    return Notifications("weir", LINKS, 60.0)


def test_labels_identify_the_stream_and_contain_no_request_and_no_score(notifications):
    (sent,) = notifications.due(log_of(alert(evidence=("request-1",), score=0.93)), 110.0)
    assert dict(sent.labels) == {
        "alertname": "WeirPii",
        "detector": "pii",
        "model": "m",
        "service": "weir",
        "severity": "warning",
        "side": "input",
        "tenant": "acme",
    }
    body = sent.body(110.0, 240.0)
    assert "request-1" not in str(body["labels"])
    assert body["annotations"]["runbook_url"] == "https://docs/runbook.md#pii"
    assert body["annotations"]["trace"] == body["generatorURL"] == f"https://traces/{'ab' * 16}"
    assert body["startsAt"] == "1970-01-01T00:01:40.000000Z"


def test_a_further_feature_is_a_new_notification_that_replaces_the_old_one(notifications):
    log = log_of(alert(features=("prompt_tokens",)))
    notifications.due(log, 110.0)
    log.apply(alert(revision=1, features=("prompt_tokens", "error")))
    firing, ended = notifications.due(log, 120.0)
    assert (dict(firing.labels)["features"], firing.ends) == ("prompt_tokens,error", None)
    assert "features" not in dict(ended.labels)
    assert ended.ends == 120.0


def test_a_firing_alert_expires_after_four_intervals(notifications):
    (body,) = notifications.payload(notifications.due(log_of(alert()), 110.0), 110.0)
    assert body["endsAt"] == "1970-01-01T00:05:50.000000Z"


def test_empty_labels_and_links_are_left_out():
    own = alert(detector="lag", tenant="_weir", model="", side="")
    (sent,) = Notifications("weir", AlertLinks(), 60.0).due(log_of(own), 110.0)
    assert {"model", "side"}.isdisjoint(dict(sent.labels))
    assert {"runbook_url", "trace"}.isdisjoint(sent.annotations)
    assert "generatorURL" not in sent.body(110.0, 240.0)


def test_alerts_with_equal_labels_are_one_notification_that_ends_with_the_last(notifications):
    first = alert("al_1", detector="silence", feature="source-a", at=100.0)
    log = log_of(first, alert("al_2", **SOURCE, opened_at=90.0, at=120.0))
    (sent,) = notifications.due(log, 130.0)
    assert (sent.starts, sent.annotations["summary"]) == (90.0, "summary of al_2")
    assert sent.annotations["description"].endswith(" 1 other alert of Weir has these labels.")
    log.apply(resolved("al_2", **SOURCE, at=140.0))
    (sent,) = notifications.due(log, 150.0)
    assert sent.ends is None
    log.apply(resolved("al_1", detector="silence", feature="source-a", at=160.0))
    (sent,) = notifications.due(log, 170.0)
    assert sent.ends == 170.0


def test_if_an_alert_becomes_critical_its_warning_ends(notifications):
    log = log_of(alert())
    notifications.due(log, 110.0)
    log.apply(alert(severity="critical", revision=1, at=120.0))
    ends = {dict(sent.labels)["severity"]: sent.ends for sent in notifications.due(log, 121.0)}
    assert ends == {"warning": 121.0, "critical": None}


def test_a_resolved_alert_is_sent_for_15_minutes(notifications):
    log = log_of(alert())
    notifications.due(log, 110.0)
    log.apply(resolved(at=200.0))
    assert [[sent.ends for sent in notifications.due(log, now)] for now in (201.0, 1100.0, 1102.0)] == [
        [201.0],
        [201.0],
        [],
    ]


@pytest.mark.parametrize(("now", "ends"), [(300.0, [200.0]), (1300.0, [])])
def test_a_new_bridge_sends_alerts_that_resolved_before_it_started(notifications, now, ends):
    assert [sent.ends for sent in notifications.due(log_of(alert(), resolved(at=200.0)), now)] == ends


def test_an_alert_that_fires_again_does_not_end(notifications):
    log = log_of(alert(), resolved(at=200.0), alert("al_2", at=250.0, opened_at=250.0))
    (sent,) = notifications.due(log, 260.0)
    assert (sent.ends, sent.starts) == (None, 250.0)


def test_a_silenced_alert_ends_with_the_reason_and_fires_again_after_the_silence(notifications):
    log = log_of(alert())
    notifications.due(log, 110.0)
    log.apply(silence(alert(), 120.0, 400.0))
    (sent,) = notifications.due(log, 130.0)
    assert sent.ends == 130.0
    assert sent.annotations["silenced"] == "until 1970-01-01T00:06:40.000000Z by jo: load test"
    (sent,) = notifications.due(log, 400.0)
    assert (sent.ends, "silenced" in sent.annotations) == (None, False)


def test_an_alert_that_opens_silenced_is_not_sent(notifications):
    assert notifications.due(log_of(silence(alert(), 50.0, 400.0), alert()), 110.0) == []


def test_older_revisions_are_ignored():
    log = log_of(alert(revision=3, severity="critical"), alert(revision=1))
    assert [one.severity for one in log.firing()] == ["critical"]
    log.apply(resolved(revision=4))
    log.apply(alert(revision=3, severity="critical"))
    assert list(log.firing()) == []


def test_the_number_of_alerts_is_bounded_and_dropped_ones_are_counted():
    log = log_of(*(alert(f"al_{number}") for number in range(30)), limit=10)
    assert [one.alert_id for one in log.firing()] == [f"al_{number}" for number in range(20, 30)]
    assert log.dropped == 20
    assert all(not one.evidence and not one.principals for one in log.firing())


def test_the_alerts_of_one_tenant_do_not_end_those_of_another(notifications):
    log = log_of(alert("al_bank", tenant="bank"), alert("al_0", tenant="mallory", model="m0"), limit=3)
    notifications.due(log, 110.0)
    for number in range(1, 5):
        log.apply(alert(f"al_{number}", tenant="mallory", model=f"m{number}", at=120.0))
    sent = {(dict(one.labels)["tenant"], dict(one.labels)["model"]): one.ends for one in notifications.due(log, 130.0)}
    assert sent == {("bank", "m"): None, ("mallory", "m3"): None, ("mallory", "m4"): None}, "m0 was dropped: not ended"
    log.apply(resolved("al_bank", tenant="bank", at=140.0))
    assert [one.ends for one in notifications.due(log, 150.0)] == [None, None, 140.0]


def test_alerts_that_another_session_dropped_are_not_posted_as_ended(notifications):
    """After a reconnect, compaction or another order of the partitions can drop other alerts, but as many."""
    firing = [alert(f"al_{number}", model=f"m{number}") for number in range(6)]
    notifications.due(log_of(*firing, limit=4), 110.0)
    sent = {dict(one.labels)["model"]: one.ends for one in notifications.due(log_of(*firing[::-1], limit=4), 120.0)}
    assert sent == dict.fromkeys(("m3", "m2", "m1", "m0"))
    sent = {dict(one.labels)["model"]: one.ends for one in notifications.due(log_of(*firing[2:]), 130.0)}
    assert sent == dict.fromkeys(("m2", "m3", "m4", "m5")) | {"m0": 130.0, "m1": 130.0}, "this session dropped none"


@pytest.mark.parametrize("records", [(alert(),), (alert(), resolved())], ids=["firing", "ended"])
def test_an_alert_from_a_clock_that_is_ahead_does_not_begin_or_end_in_the_future(notifications, records):
    """An alert whose end is in the future fires. Alertmanager rejects the whole request if one alert ends before it begins."""
    (body,) = notifications.payload(notifications.due(log_of(*records), 50.0), 50.0)
    assert body["startsAt"] == "1970-01-01T00:00:50.000000Z"
    assert body["endsAt"] == ("1970-01-01T00:04:50.000000Z" if len(records) == 1 else body["startsAt"])
