"""Lists of alerts and retraining events, records of one alert, and reviews."""

import time

import pytest
from support import alert_records
from support.alert_log import bucket_finding
from support.console_ledger import LedgerMaker
from support.events import event_of
from support.ledger_log import request
from support.signal_log import MODEL

from stream.ledger import database_files
from stream.ledger import decisions as module
from stream.ledger.queries.alert_pages import AlertQuery, alert_changes, changed_since, firing_counts
from stream.ledger.queries.console_queries import LedgerPages
from stream.ledger.queries.page_cursor import NEWEST, Cursor
from stream.ledger.queries.reviews import RejectedFeedback, review_count, reviews_of
from stream.ledger.schema import open_for_reading
from stream.wire import Feedback, RetrainingRecord


@pytest.fixture
def pages(maker, tmp_path):
    return LedgerPages(tmp_path)


def alert(alert_id, revision=0, *, at=10.0, **fields):
    data = alert_records.alert(alert_id, revision=revision, opened_at=10.0, at=at, **fields)
    return event_of(data, f"{alert_id}/{revision}", at)


def feedback(identity, alert_id, label, at, by="console:ann", *, tenant="acme"):
    data = Feedback(request_id="r1", tenant=tenant, principal=by, label=label, alert_id=alert_id)
    return event_of(data, identity, at)


def retraining(identity, at, state="suppressed", **fields):
    data = RetrainingRecord(retraining_id=identity, state=state, reason="r", tenant="a", model="m", at=at, **fields)
    return event_of(data, f"{identity}/{state}", at)


def apply(maker, *events, topic="weir.alerts", partition=0):
    maker.store.apply([maker.log.records(topic, *events, partition=partition)])


def shards(maker):
    return [shard.database for shard in maker.store.shards.values()]


def paged(query, rows):
    """Return the rows of each page of `query(before)`."""
    found, before = [], NEWEST
    while not found or before != NEWEST:
        page = query(before)
        found.append(getattr(page, rows))
        before = Cursor.parse(page.next)
    return found


def unreviewed(pages):
    return [row.alert_id for row in pages.alerts(AlertQuery(unreviewed=True), 1.0).alerts]


def test_the_records_of_an_alert_are_kept_without_duplicates(maker):
    critical = alert("al_1", 1, severity="critical", at=20.0)
    apply(maker, alert("al_1"), critical, critical)
    apply(maker, alert("al_1", 2, state="resolved", severity="critical", at=30.0))
    database = maker.store.decisions.database
    assert [(one.revision, one.state, one.severity, one.at) for one in alert_changes(database, "al_1")] == [
        (0, "firing", "warning", 10.0),
        (1, "firing", "critical", 20.0),
        (2, "resolved", "critical", 30.0),
    ]
    assert firing_counts(database) == {}


def test_an_alert_of_a_part_group_has_its_part_and_the_windows_of_its_stream(maker, pages):
    apply(maker, alert("al_1", detector="drift", model=MODEL, side="input", part="tool_result", limit=10.0))
    apply(maker, bucket_finding(1), bucket_finding(2, part="tool_result"), topic="weir.findings")
    assert [row.part for row in pages.alerts(AlertQuery(), 0.0).alerts] == ["tool_result"]
    assert pages.alert("al_1", 0.0).series.time == [15.0]


def test_alerts_are_selected_by_part_group_or_by_no_part_group(maker, pages):
    for name, part in (("al_1", ""), ("al_2", "prompt"), ("al_3", "tool_result")):
        apply(maker, alert(name, detector="drift", part=part))

    def listed(**query):
        return sorted(row.alert_id for row in pages.alerts(AlertQuery(detector="drift", **query), 0.0).alerts)

    assert listed(part="tool_result") == ["al_3"]
    assert listed(part="") == ["al_1"]
    assert listed() == ["al_1", "al_2", "al_3"]


def test_alerts_are_selected_by_trained_version_or_by_no_trained_version(maker, pages):
    for name, version in (("al_1", ""), ("al_2", "m_1"), ("al_3", "m_2")):
        apply(maker, alert(name, detector="drift", model_version=version))

    def listed(**query):
        rows = pages.alerts(AlertQuery(detector="drift", **query), 0.0).alerts
        return sorted((row.alert_id, row.model_version) for row in rows)

    assert listed(model_version="m_2") == [("al_3", "m_2")]
    assert listed(model_version="") == [("al_1", "")]
    assert listed() == [("al_1", ""), ("al_2", "m_1"), ("al_3", "m_2")]


def test_changes_since_a_number_are_those_with_a_higher_number(maker):
    database = maker.store.decisions.database
    apply(maker, alert("al_1"), alert("al_2"))
    seq, changed = changed_since(database, 0, 10)
    assert {one.alert_id for one in changed} == {"al_1", "al_2"}
    assert changed_since(database, seq, 10) == (seq, [])
    apply(maker, alert("al_1", 1, at=11.0), alert("al_1", 2, at=12.0))
    later, changed = changed_since(database, seq, 10)
    assert [(one.alert_id, one.revision) for one in changed] == [("al_1", 2)]
    assert later > seq


def test_the_changes_since_a_number_are_found_without_a_scan_of_all_changes(maker):
    """Each open page of the console asks twice a second, and up to 200,000 changes are kept."""
    database, statements = maker.store.decisions.database, []
    database.set_trace_callback(statements.append)
    changed_since(database, 1, 10)
    database.set_trace_callback(None)
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statements[0]}")]
    assert "SEARCH alert_changes USING INTEGER PRIMARY KEY (rowid>?)" in plan


def test_a_rebuilt_file_has_another_id(maker, tmp_path):
    def born(directory):
        return LedgerPages(directory).live_update(seq=0, now=1.0, log_time=1.0, limit=1).born

    first = born(tmp_path)
    assert born(tmp_path) == first
    other = LedgerMaker(tmp_path / "other")
    assert born(tmp_path / "other") != first
    other.close()


def test_the_number_of_changes_is_bounded(maker, monkeypatch):
    monkeypatch.setattr(module, "_CHANGES", 50)
    apply(maker, *(alert("al_1", revision, at=float(revision)) for revision in range(200)))
    maker.store.decisions.expire()
    changes = alert_changes(maker.store.decisions.database, "al_1")
    assert [one.revision for one in changes] == list(range(150, 200))


def test_reviews_of_all_partitions_count_and_the_newest_is_shown(maker, pages):
    apply(maker, alert("al_1"), alert("al_2"))
    apply(maker, feedback("f1", "al_1", "right", 5.0), topic="weir.feedback")
    others = [feedback("f2", "al_1", "wrong", 9.0, "console:bob"), feedback("f3", "", "up", 9.0)]
    apply(maker, *others, topic="weir.feedback", partition=1)
    found = reviews_of(shards(maker), [alert("al_1").data, alert("al_2").data])
    assert [(one.label, one.by) for one in found.pop("al_1")] == [("right", "console:ann"), ("wrong", "console:bob")]
    assert found == {}
    assert unreviewed(pages) == ["al_2"]
    assert {one.alert_id: one.review for one in pages.alerts(AlertQuery(), 1.0).alerts} == {"al_1": "wrong", "al_2": ""}


def test_a_review_is_right_or_wrong_and_of_the_tenant_of_the_alert(maker, pages):
    rejected = [
        feedback("f1", "al_1", "right", 1.0, "key-9", tenant="globex"),
        feedback("f2", "al_1", "wrong", 2.0, "console:ann", tenant="globex"),
        feedback("f3", "al_1", "right", 3.0, "key-0", tenant=""),
        feedback("f4", "al_unknown", "right", 3.0, "key-9", tenant="globex"),
        feedback("f5", "al_1", "spam", 4.0, "key-1"),
        feedback("f6", "al_1", "", 5.0),
        feedback("f7", "", "up", 5.0),
    ]
    for partition in range(2):  # before the alert is known, and after
        apply(maker, *rejected[partition::2], topic="weir.feedback", partition=partition)
        apply(maker, alert("al_1"))
    assert reviews_of(shards(maker), [alert("al_1").data]) == {}
    assert pages.alert("al_1", 9.0).reviews == []
    assert unreviewed(pages) == ["al_1"]
    assert maker.store.rejected_feedback() == RejectedFeedback(tenant=3, label=2)
    stored = [shard.execute("SELECT count(*) FROM feedback").fetchone()[0] for shard in shards(maker)]
    assert sum(stored) == 7
    apply(maker, feedback("f8", "al_1", "right", 6.0, "key-1"), topic="weir.feedback")
    (review,) = pages.alert("al_1", 9.0).reviews
    assert (review.label, review.by) == ("right", "key-1")
    assert unreviewed(pages) == []
    assert review_count(shards(maker)) == 5


def test_retraining_events_are_paged_even_with_equal_times(maker, pages):
    events = [retraining(f"rt_{number}", float(number // 4)) for number in range(10)]
    apply(maker, *events, retraining("rt_9", 2.0, "requested"), topic="weir.retraining")
    found = paged(lambda before: pages.retraining(before=before, limit=3), "retraining")
    assert [len(page) for page in found] == [3, 3, 3, 2]
    named = [(one.at, one.retraining_id, one.state) for page in found for one in page]
    assert named == sorted(named, reverse=True)
    assert len(set(named)) == 11


def test_a_state_keeps_its_first_time_and_has_its_newest_lease(maker, pages):
    apply(
        maker,
        *(retraining("rt_1", 5.0, "trained", lease_until=until) for until in (220.0, 820.0)),
        topic="weir.retraining",
    )
    (found,) = pages.retraining(before=NEWEST, limit=3).retraining
    assert (found.at, found.lease_until) == (5.0, 820.0)


def test_no_query_of_the_console_reads_all_retraining_events(maker, pages, monkeypatch):
    """An open page asks twice a second, and nearly every alert has a suppression."""
    statements = []

    def traced(path, timeout):
        database = open_for_reading(path, timeout)
        database.set_trace_callback(statements.append)
        return database

    apply(maker, *(retraining(f"rt_{number}", float(number)) for number in range(3)), topic="weir.retraining")
    monkeypatch.setattr(database_files, "open_for_reading", traced)
    first, again = (pages.live_update(seq=0, now=1.0, log_time=1.0, limit=1).retraining for _ in range(2))
    pages.retraining(before=Cursor(9.0, "rt_9"), limit=3)
    pages.model_versions(3)
    database = maker.store.decisions.database
    plans = [database.execute(f"EXPLAIN QUERY PLAN {text}").fetchall() for text in statements if " retraining" in text]
    steps = [detail for plan in plans for *_numbers, detail in plan]
    assert any("retraining_at" in step for step in steps)
    assert [step for step in steps if step.startswith("SCAN") and "retraining" in step and "INDEX" not in step] == []
    apply(maker, retraining("rt_2", 1.0, "trained"), topic="weir.retraining")
    changed = pages.live_update(seq=0, now=1.0, log_time=1.0, limit=1).retraining
    assert first == again != changed


def test_the_number_of_suppressions_is_bounded(maker, monkeypatch):
    monkeypatch.setattr(module, "_SUPPRESSED", 50)
    for state in ("suppressed", "requested"):
        events = [retraining(f"{state}-{number}", float(number), state, alert_ids=("al_1",)) for number in range(200)]
        apply(maker, *events, topic="weir.retraining")
    maker.store.decisions.expire()
    kept = {f"suppressed-{number}" for number in range(150, 200)} | {f"requested-{number}" for number in range(200)}
    for table in ("retraining", "retraining_alerts"):
        rows = maker.store.decisions.database.execute(f"SELECT retraining_id FROM {table}").fetchall()
        assert {name for (name,) in rows} == kept, table


def test_alerts_without_a_review_are_found_after_many_reviewed_alerts(maker, pages):
    apply(maker, alert("al_a"), alert("al_b"), alert("al_c"))
    maker.alerts(6_000, newest=1e6, evidence=())
    reviewed = ["al_b", *(f"al_{number}" for number in range(40))]
    apply(maker, *(alert(name) for name in reviewed))
    apply(maker, *(feedback(f"f_{name}", name, "right", 5.0) for name in reviewed), topic="weir.feedback", partition=1)
    found = paged(lambda before: pages.alerts(AlertQuery(unreviewed=True, limit=1, before=before), 1.0), "alerts")
    assert [[one.alert_id for one in page] for page in found] == [["al_c"], ["al_a"]]


def test_the_precision_counts_each_alert_once_by_its_newest_review(maker, pages):
    drift = {"detector": "drift"}
    apply(maker, alert("al_1"), alert("al_2"), alert("al_3"), alert("al_4", **drift), alert("al_5", **drift))
    given = [("al_1", "wrong"), ("al_1", "right"), ("al_2", "right"), ("al_3", "wrong"), ("al_4", "right")]
    reviews = [feedback(f"f{row}", name, label, 20.0 + row) for row, (name, label) in enumerate(given)]
    reviews.append(feedback("other", "al_5", "wrong", 30.0, tenant="elm"))
    apply(maker, *reviews, topic="weir.feedback", partition=1)
    drift, pii = pages.detector_precision()
    assert (drift.detector, drift.right, drift.wrong) == ("drift", 1, 0)
    assert (pii.detector, pii.right, pii.wrong, pii.precision) == ("pii", 2, 1, pytest.approx(2 / 3))
    assert (pii.low, pii.high) == (pytest.approx(0.208, abs=0.001), pytest.approx(0.939, abs=0.001))
    assert pages.detector_precision("elm") == []


def test_a_review_is_kept_as_long_as_its_alert(tmp_path):
    day, now = 86_400.0, time.time()
    old = now - 8 * day
    maker, pages = LedgerMaker(tmp_path, retention_seconds=7 * day), LedgerPages(tmp_path)
    apply(maker, request("r1", old, owed=()), topic="weir.inference")
    apply(maker, alert("al_1", at=old))
    given = [("f1", "al_1", "right"), ("f2", "al_1", "spam"), ("f3", "", "up")]
    apply(maker, *(feedback(*one, old) for one in given), topic="weir.feedback")
    apply(maker, request("r2", now, owed=()), topic="weir.inference")
    while maker.store.expire():
        pass
    assert [row.request_id for row in pages.requests(limit=5).requests] == ["r2"]
    assert [review.label for review in pages.alert("al_1", now).reviews] == ["right"]
    assert unreviewed(pages) == []
    assert [one.right for one in pages.detector_precision()] == [1]
    kept = [row for shard in shards(maker) for row in shard.execute("SELECT event_id FROM feedback")]
    assert kept == [("f1",)], "other feedback expires"
    maker.close()


def test_alerts_on_which_reviewers_disagree_are_counted(maker, pages):
    apply(maker, *(alert(f"al_{number}") for number in range(3)))
    given = [
        ("al_0", "right", "key-1"), ("al_0", "wrong", "key-2"),
        ("al_1", "right", "key-1"), ("al_1", "right", "key-2"),
        ("al_2", "right", "key-1"), ("al_2", "wrong", "key-2"), ("al_2", "right", "key-2"),
    ]  # fmt: skip
    reviews = [feedback(f"f{row}", name, label, 20.0 + row, by) for row, (name, label, by) in enumerate(given)]
    apply(maker, *reviews, topic="weir.feedback")
    (found,) = pages.detector_precision()
    assert (found.right, found.wrong, found.disputed) == (2, 1, 1)
