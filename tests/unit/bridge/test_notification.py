from support.alert_records import alert, resolved, silence

from stream.bridge.firing_alerts import Board
from stream.bridge.notification import Links, Telling

LINKS = Links(runbook="https://docs/runbook.md", trace="https://traces/{trace_id}")


def board(*records, held=10_000):
    made = Board(held)
    for record in records:
        made.apply(record)
    return made


def telling():
    return Telling("weir", LINKS, 60.0)


def by_severity(notices):
    return {dict(notice.labels)["severity"]: notice for notice in notices}


def test_labels_name_the_stream_and_never_a_request_or_a_score():
    (notice,) = telling().due(board(alert(evidence=("request-1",), score=0.93)), 110.0)
    assert dict(notice.labels) == {
        "alertname": "WeirPii",
        "detector": "pii",
        "model": "m",
        "service": "weir",
        "severity": "warning",
        "side": "input",
        "tenant": "acme",
    }
    posted = notice.posted(500.0)
    assert "request-1" not in str(posted["labels"])
    assert posted["annotations"]["runbook_url"] == "https://docs/runbook.md#pii"
    assert posted["annotations"]["trace"] == posted["generatorURL"] == f"https://traces/{'ab' * 16}"
    assert posted["startsAt"] == "1970-01-01T00:01:40.000000Z"


def test_a_firing_alert_ends_by_itself_four_tellings_later():
    teller = telling()
    (posted,) = teller.payload(teller.due(board(alert()), 110.0), 110.0)
    assert posted["endsAt"] == "1970-01-01T00:05:50.000000Z"


def test_empty_labels_are_left_out():
    (notice,) = telling().due(board(alert(detector="lag", tenant="_weir", model="", side="")), 110.0)
    assert {"model", "side"}.isdisjoint(dict(notice.labels))


def test_alerts_with_one_identity_are_one_notice_that_ends_with_the_last():
    first = alert("al_1", detector="silence", feature="source-a", at=100.0)
    second = alert("al_2", detector="silence", feature="source-b", opened_at=90.0, at=120.0)
    teller, log = telling(), board(first, second)
    (notice,) = teller.due(log, 130.0)
    assert (notice.starts, notice.annotations["summary"]) == (90.0, "summary of al_2")
    assert "1 more of Weir's alerts" in notice.annotations["description"]
    log.apply(resolved("al_2", detector="silence", feature="source-b", at=140.0))
    (notice,) = teller.due(log, 150.0)
    assert notice.ends is None
    log.apply(resolved("al_1", detector="silence", feature="source-a", at=160.0))
    (notice,) = teller.due(log, 170.0)
    assert notice.ends == 170.0


def test_an_alert_that_becomes_critical_ends_as_a_warning():
    teller, log = telling(), board(alert())
    teller.due(log, 110.0)
    log.apply(alert(severity="critical", revision=1, at=120.0))
    found = by_severity(teller.due(log, 121.0))
    assert (found["warning"].ends, found["critical"].ends) == (121.0, None)


def test_what_ended_is_told_for_a_quarter_of_an_hour():
    teller, log = telling(), board(alert())
    teller.due(log, 110.0)
    log.apply(resolved(at=200.0))
    assert [notice.ends for notice in teller.due(log, 201.0)] == [201.0]
    assert [notice.ends for notice in teller.due(log, 1100.0)] == [201.0]
    assert teller.due(log, 1102.0) == []


def test_a_new_bridge_tells_what_ended_while_there_was_none():
    assert [notice.ends for notice in telling().due(board(alert(), resolved(at=200.0)), 300.0)] == [200.0]
    assert telling().due(board(alert(), resolved(at=200.0)), 1300.0) == []


def test_an_alert_that_fires_again_is_not_told_as_ended():
    teller, log = telling(), board(alert(), resolved(at=200.0))
    log.apply(alert("al_2", at=250.0, opened_at=250.0))
    (notice,) = teller.due(log, 260.0)
    assert (notice.ends, notice.starts) == (None, 250.0)


def test_a_silenced_alert_ends_and_says_why_and_fires_on_when_the_silence_is_over():
    teller, log = telling(), board(alert())
    teller.due(log, 110.0)
    log.apply(silence(alert(), 120.0, 400.0))
    (notice,) = teller.due(log, 130.0)
    assert notice.ends == 130.0
    assert notice.annotations["silenced"] == "until 1970-01-01T00:06:40.000000Z by jo: load test"
    (notice,) = teller.due(log, 400.0)
    assert (notice.ends, "silenced" in notice.annotations) == (None, False)


def test_an_alert_that_opens_silenced_is_not_told():
    assert telling().due(board(silence(alert(), 50.0, 400.0), alert()), 110.0) == []


def test_an_older_record_read_again_changes_nothing():
    log = board(alert(revision=3, severity="critical"), alert(revision=1))
    assert [one.severity for one in log.firing()] == ["critical"]
    log.apply(resolved(revision=4))
    log.apply(alert(revision=3, severity="critical"))
    assert list(log.firing()) == []


def test_the_board_is_bounded_and_counts_what_it_let_go():
    log = board(*(alert(f"al_{number}") for number in range(30)), held=10)
    assert [one.alert_id for one in log.firing()] == [f"al_{number}" for number in range(20, 30)]
    assert log.dropped == 20
    assert all(not one.evidence and not one.principals for one in log.firing())


def test_links_that_are_not_set_are_left_out():
    (notice,) = Telling("weir", Links(), 60.0).due(board(alert()), 110.0)
    assert {"runbook_url", "trace"}.isdisjoint(notice.annotations)
    assert "generatorURL" not in notice.posted(500.0)
