import pytest
from support.console_ledger import LedgerMaker

from stream.ledger import decisions as module
from stream.ledger.queries.alert_pages import AlertQuery, changed_since, changes_of, firing_counts
from stream.ledger.queries.console_queries import LedgerPages
from stream.ledger.queries.page_cursor import NEWEST, Cursor
from stream.ledger.queries.reviews import TurnedAway, review_count, reviews_of
from stream.wire import AlertRecord, Event, Feedback, RetrainingRecord


@pytest.fixture
def maker(tmp_path):
    maker = LedgerMaker(tmp_path)
    yield maker
    maker.close()


def alert(alert_id, revision=0, *, state="firing", severity="warning", at=10.0):
    data = AlertRecord(
        alert_id=alert_id, state=state, detector="pii", severity=severity, tenant="acme", model="m", side="input",
        opened_at=10.0, at=at, revision=revision, evidence=("r1",), evidence_total=1,
    )  # fmt: skip
    return Event(id=f"{alert_id}/{revision}", source="w", type=data.event_type, time=at, data=data)


def feedback(identity, alert_id, label, at, by="console:ann", *, tenant="acme"):
    data = Feedback(request_id="r1", tenant=tenant, principal=by, label=label, alert_id=alert_id)
    return Event(id=identity, source="weir/console", type=data.event_type, time=at, data=data)


def take(maker, *events):
    maker.book.apply([maker.log.records("weir.alerts", *events)])


def test_the_course_of_an_alert_is_kept_and_repeats_are_not(maker):
    take(
        maker,
        alert("al_1"),
        alert("al_1", 1, severity="critical", at=20.0),
        alert("al_1", 1, severity="critical", at=20.0),
    )
    take(maker, alert("al_1", 2, state="resolved", severity="critical", at=30.0))
    database = maker.book.decisions.database
    course = [(one.revision, one.state, one.severity, one.at) for one in changes_of(database, "al_1")]
    assert course == [
        (0, "firing", "warning", 10.0),
        (1, "firing", "critical", 20.0),
        (2, "resolved", "critical", 30.0),
    ]
    assert firing_counts(database) == {}


def test_who_asks_after_a_change_hears_of_the_later_ones_alone(maker):
    database = maker.book.decisions.database
    take(maker, alert("al_1"), alert("al_2"))
    seq, changed = changed_since(database, 0, 10)
    assert {one.alert_id for one in changed} == {"al_1", "al_2"}
    assert changed_since(database, seq, 10) == (seq, [])
    take(maker, alert("al_1", 1, at=11.0), alert("al_1", 2, at=12.0))
    later, changed = changed_since(database, seq, 10)
    assert [(one.alert_id, one.revision) for one in changed] == [("al_1", 2)]
    assert later > seq


def test_a_rebuilt_file_is_known_as_another_one(maker, tmp_path):
    def born(directory):
        return LedgerPages(directory).live_update(seq=0, now=1.0, log_time=1.0, limit=1).born

    first = born(tmp_path)
    assert born(tmp_path) == first
    other = LedgerMaker(tmp_path / "other")
    assert born(tmp_path / "other") != first
    other.close()


def test_the_number_of_changes_is_bounded(maker, monkeypatch):
    monkeypatch.setattr(module, "_CHANGES", 50)
    take(maker, *(alert("al_1", revision, at=float(revision)) for revision in range(200)))
    maker.book.decisions.expire()
    course = changes_of(maker.book.decisions.database, "al_1")
    assert [one.revision for one in course] == list(range(150, 200))


def test_reviews_come_from_every_partition_and_the_last_word_counts(maker, tmp_path):
    take(maker, alert("al_1"), alert("al_2"))
    said = [feedback("f2", "al_1", "wrong", 9.0, "console:bob"), feedback("f3", "", "up", 9.0)]
    maker.book.apply([maker.log.records("weir.feedback", feedback("f1", "al_1", "right", 5.0), partition=0)])
    maker.book.apply([maker.log.records("weir.feedback", *said, partition=1)])
    shards = [shard.database for shard in maker.book.shards.values()]
    found = reviews_of(shards, [alert("al_1").data, alert("al_2").data])
    assert [(one.label, one.by) for one in found.pop("al_1")] == [("right", "console:ann"), ("wrong", "console:bob")]
    assert found == {}
    pages = LedgerPages(tmp_path)
    queue = pages.alerts(AlertQuery(unreviewed=True), 1.0).alerts
    assert [one.alert_id for one in queue] == ["al_2"]
    assert {one.alert_id: one.review for one in pages.alerts(AlertQuery(), 1.0).alerts} == {"al_1": "wrong", "al_2": ""}


def test_a_review_comes_from_the_alert_s_own_tenant_and_says_right_or_wrong(maker, tmp_path):
    strangers = [
        feedback("f1", "al_1", "right", 1.0, "key-9", tenant="globex"),
        feedback("f2", "al_1", "wrong", 2.0, "console:ann", tenant="globex"),
        feedback("f3", "al_1", "right", 3.0, "key-0", tenant=""),
        feedback("f4", "al_nowhere", "right", 3.0, "key-9", tenant="globex"),
    ]
    others = [
        feedback("f5", "al_1", "spam", 4.0, "key-1"),
        feedback("f6", "al_1", "", 5.0),
        feedback("f7", "", "up", 5.0),
    ]
    said = [*strangers, *others]
    for partition in range(2):  # before the alert is known, and after
        maker.book.apply([maker.log.records("weir.feedback", *said[partition::2], partition=partition)])
        take(maker, alert("al_1"))
    shards = [shard.database for shard in maker.book.shards.values()]
    pages = LedgerPages(tmp_path)
    assert reviews_of(shards, [alert("al_1").data]) == {}
    assert pages.alert("al_1", 9.0).reviews == []
    assert [(one.alert_id, one.review) for one in pages.alerts(AlertQuery(unreviewed=True), 9.0).alerts] == [
        ("al_1", "")
    ]
    assert maker.book.turned_away() == TurnedAway(tenant=3, label=2)
    assert maker.book.coverage().feedback == 7
    maker.book.apply([maker.log.records("weir.feedback", feedback("f8", "al_1", "right", 6.0, "key-1"), partition=0)])
    (review,) = pages.alert("al_1", 9.0).reviews
    assert (review.label, review.by) == ("right", "key-1")
    assert pages.alerts(AlertQuery(unreviewed=True), 9.0).alerts == []
    assert review_count(shards) == 5


def retraining(identity, at, state="suppressed"):
    data = RetrainingRecord(retraining_id=identity, state=state, reason="r", tenant="a", model="m", at=at)
    return Event(id=f"{identity}/{state}", source="w", type=data.event_type, time=at, data=data)


def paged(ask, rows):
    """Return every page's rows that `ask(before)` gives, one page after the other."""
    pages, before = [], NEWEST
    while not pages or before != NEWEST:
        page = ask(before)
        pages.append(getattr(page, rows))
        before = Cursor.parse(page.next)
    return pages


def test_retraining_events_are_paged_newest_first_those_of_one_moment_too(maker, tmp_path):
    events = [retraining(f"rt_{number}", float(number // 4)) for number in range(10)]
    events.append(retraining("rt_9", 2.0, "requested"))
    maker.book.apply([maker.log.records("weir.retraining", *events)])
    pages = LedgerPages(tmp_path)
    found = paged(lambda before: pages.retraining(before=before, limit=3), "retraining")
    assert [len(page) for page in found] == [3, 3, 3, 2]
    named = [(one.at, one.retraining_id, one.state) for page in found for one in page]
    assert named == sorted(named, reverse=True)
    assert len(set(named)) == 11


def test_what_is_to_be_reviewed_is_found_behind_any_number_of_alerts_that_are_not(maker, tmp_path):
    take(maker, alert("al_a"), alert("al_b"), alert("al_c"))
    maker.alerts(6_000, newest=1e6, evidence=())
    judged = ["al_b", *(f"al_{number}" for number in range(40))]
    take(maker, *(alert(name) for name in judged))
    said = [feedback(f"f_{name}", name, "right", 5.0) for name in judged]
    maker.book.apply([maker.log.records("weir.feedback", *said, partition=1)])
    pages = LedgerPages(tmp_path)
    found = paged(lambda before: pages.alerts(AlertQuery(unreviewed=True, limit=1, before=before), 1.0), "alerts")
    assert [[one.alert_id for one in page] for page in found] == [["al_c"], ["al_a"]]
