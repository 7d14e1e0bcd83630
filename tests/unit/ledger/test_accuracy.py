"""The accuracy of labelled answers: the join, the test for a fall, and the alert."""

import random
from itertools import pairwise

import msgspec
import pytest
from support.events import event_of
from support.ledger_log import Log, end, request
from support.ledger_store import MemoryLedger, states

from stream.ledger.accuracy import Accuracy, JudgedAnswer, accuracy_of
from stream.ledger.alerts.fallen_accuracy import decide_accuracy
from stream.ledger.queries.judged_answers import accuracy_hours, judged_answers, unjoined_count
from stream.ledger.time_share import TimeShare
from stream.settings import AccuracySettings, TenantSettings
from stream.wire import LabelRecord

SETTINGS = AccuracySettings()


def answers(*phases, seed=1):
    """Return one answer a minute; each phase is (number of answers, probability of a correct one)."""
    draw = random.Random(seed)
    values = [float(draw.random() < share) for count, share in phases for _ in range(count)]
    return [
        JudgedAnswer(time=60.0 * row, request_id=f"r{row}", value=value, principal=f"k{row % 3}")
        for row, value in enumerate(values)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_fall_is_found_with_its_start_and_its_wrong_answers(seed):
    given = answers((400, 0.95), (100, 0.6), seed=seed)
    found = accuracy_of(given, SETTINGS)
    assert found.fell_at == pytest.approx(400 * 60, abs=15 * 60)
    assert found.accuracy < 0.75
    assert found.reference > 0.9
    since = [one for one in given if one.time >= found.fell_at]
    wrong = [one.request_id for one in since if not one.value]
    assert (found.since, found.wrong, found.evidence) == (len(since), len(wrong), tuple(wrong[-20:]))
    assert sum(found.principals.values()) == found.wrong


def test_a_fall_ends_when_the_accuracy_recovers():
    fallen = answers((400, 0.95), (100, 0.5), seed=2)
    assert accuracy_of(fallen, SETTINGS).fell_at is not None
    assert accuracy_of(answers((400, 0.95), (100, 0.5), (200, 0.97), seed=2), SETTINGS).fell_at is None


def test_false_alarms_stay_within_the_budget():
    """In 200 streams of 1,000 answers after the reference, a budget of 1 in 2,000 allows 100 alarms.

    The margin makes alarms rare.
    """
    settings = AccuracySettings(alarm_every_events=2_000)
    alarms = sum(accuracy_of(answers((1_200, 0.9), seed=seed), settings).fell_at is not None for seed in range(200))
    assert alarms <= 10


def test_references_from_a_sliding_window_of_labels_stay_within_the_budget():
    """The accuracy is constant; in 40,000 answers of which the latest 2,100 are retained, a budget of 1 in 10,000 allows 4 alarms."""
    fell = []
    for seed in range(4):
        given = answers((12_100, 0.5), seed=seed)
        fell += [accuracy_of(given[end - 2_100 : end], SETTINGS).fell_at for end in range(2_100, 12_101, 100)]
    alarms = sum(now is not None and before is None for before, now in pairwise(fell))
    assert alarms <= 4


def test_a_small_fall_within_the_margin_is_no_alarm():
    assert accuracy_of(answers((400, 0.95), (600, 0.92), seed=3), SETTINGS).fell_at is None


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_reference_at_a_bound_is_no_error(value):
    given = [JudgedAnswer(time=float(row), request_id=str(row), value=value) for row in range(500)]
    assert accuracy_of(given, AccuracySettings(margin=0.01)).fell_at is None


# -- the join in the ledger


def label(request_id, value, *, at=1.0, label_id="", tenant="acme", time=9_000.0):
    data = LabelRecord(label_id=label_id or request_id, request_id=request_id, tenant=tenant, at=at, value=value)
    return event_of(data, f"{request_id}/label/{data.label_id}", time)


def joined(*records, partitions=2):
    with MemoryLedger(partitions) as ledger:
        ledger.apply(list(records))
        return [
            (hour.time, hour.answers, hour.accuracy) for hour in accuracy_hours(judged_answers(ledger.store._databases))
        ]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
@pytest.mark.parametrize("answers_first", [True, False])
def test_labels_are_joined_in_any_order_from_any_partition_and_the_latest_label_counts(log, order, answers_first):
    given = [label("a", 1.0, at=2.0), label("a", 0.0, at=1.0), label("b", 0.5), label("b", 1.0, label_id="other")]
    labels = [entry for row in order for entry in log.records("weir.feedback", given[row], partition=row % 2)]
    ends = log.inference(end("a", 100.0), end("b", 5_000.0))
    found = joined(*ends, *labels) if answers_first else joined(*labels, *ends)
    assert found == [(0, 1, 1.0), (3600, 1, 0.75)]


def test_a_label_of_another_tenant_or_of_an_unknown_request_is_not_joined(log):
    labels = log.records("weir.feedback", label("a", 1.0, tenant="other"), label("unknown", 1.0))
    with MemoryLedger(2) as ledger:
        ledger.apply([*log.inference(request("a", 1.0), end("a", 2.0)), *labels])
        judged = judged_answers(ledger.store._databases)
        assert accuracy_hours(judged) == []
        counts = [unjoined_count(judged, tenant) for tenant in ("", "acme", "other", "elm")]
    assert counts == [2, 1, 1, 0], "labels that are not joined are counted for their tenant"


def test_an_alert_resolves_an_hour_after_its_record_of_the_recovery():
    fallen = Accuracy(answers=90, accuracy=0.4, reference=0.95, fell_at=50.0, since=30, wrong=18, statistic=9.0)
    fine = Accuracy(answers=95, accuracy=0.9, reference=0.95)

    def decided(firing, now, log_time):
        return decide_accuracy(firing, {("acme", "m"): now} if now else {}, log_time, lambda *_: "al_1")

    (alert,) = decided([], fallen, 100.0)
    (recovery,) = decided([alert], fine, 200.0)
    assert (recovery.state, recovery.statistic, recovery.evidence_total) == ("firing", 0.0, 18)
    assert "recovered: 90 % of all 95" in recovery.summary
    assert decided([recovery], fallen, 205.0) == [], "at most one record in ten seconds"
    (again,) = decided([recovery], fallen, 300.0)
    assert (again.alert_id, again.statistic) == ("al_1", 9.0), "the same fall, with more late labels"
    (recovery,) = decided([again], fine, 400.0)
    assert decided([recovery], fine, 3999.0) == []
    (resolved,) = decided([recovery], fine, 4000.0)
    assert (resolved.alert_id, resolved.state, resolved.resolved_at) == ("al_1", "resolved", 4000.0)
    assert resolved.revision == alert.revision + 4
    (expired,) = decided([alert], None, 200.0)
    assert "expired" in expired.summary


@pytest.mark.parametrize("kept", [700, 150])
def test_an_alert_whose_earlier_labels_expired_is_not_reported_as_recovered(kept):
    """The first answers that remain are as bad as the later ones, so there is no fall; with 150, there is no reference."""
    given = answers((400, 0.95), (700, 0.6))
    (alert,) = decide_accuracy([], {("acme", "m"): accuracy_of(given, SETTINGS)}, given[-1].time, lambda *_: "al_1")
    remaining = accuracy_of(given[-kept:], SETTINGS)
    (record,) = decide_accuracy([alert], {("acme", "m"): remaining}, given[-1].time + 60.0, lambda *_: "al_2")
    assert (record.alert_id, record.statistic) == ("al_1", 0.0)
    assert "recovered" not in record.summary
    assert f"the labels from before the fall expired; {100 * remaining.accuracy:.0f} % of all {kept} " in record.summary


def test_an_alert_names_at_most_32_keys():
    """With all keys of a large service, the record would be too large for Kafka."""
    given = answers((400, 0.95), (400, 0.3))
    many = [msgspec.structs.replace(one, principal=f"k{row}") for row, one in enumerate(given)]
    found = accuracy_of(many, SETTINGS)
    assert (len(found.principals), set(found.principals.values())) == (32, {1})
    (alert,) = decide_accuracy([], {("acme", "m"): found}, 100.0, lambda *_: "al_1")
    assert alert.summary.endswith(f"{found.wrong} wrong answers, {found.wrong} API keys. Tenant acme.")


def test_an_alert_ends_when_the_labels_of_its_fall_expire_although_no_other_label_arrives(log):
    rules = AccuracySettings(reference_events=20, alarm_every_events=20)
    with MemoryLedger(tenants=lambda _tenant: TenantSettings(accuracy=rules), retention_seconds=3600.0) as ledger:
        for row in range(100):
            ledger.apply(log.inference(end(f"r{row}", float(row), owed=())))
            ledger.apply(log.records("weir.feedback", label(f"r{row}", float(row < 50), time=float(row))))
        assert states(ledger.decide()) == [("accuracy", "", "firing")]
        ledger.apply(log.inference(request("later", 3 * 3600.0, owed=())))
        ledger.decide()
        while ledger.store.expire():
            pass
        ledger.decide()
        assert ledger.alerts("accuracy")[0].summary == "Accuracy of m: the labels of the fall expired. Tenant acme."


def test_many_labels_are_judged_less_often_than_they_arrive(monkeypatch):
    """Each evaluation needs a second, and a share of 5 % then leaves 19 s without an evaluation."""
    now, evaluated, log = [0.0], [], Log()

    def slow(databases):
        evaluated.append(now[0])
        now[0] += 1.0
        return judged_answers(databases)

    monkeypatch.setattr("stream.ledger.store.judged_answers", slow)
    with MemoryLedger() as ledger:
        ledger.store._accuracy_time = TimeShare(0.05, lambda: now[0])
        ledger.apply(log.inference(*(end(f"r{row}", float(row), owed=()) for row in range(50))))
        for row in range(50):
            now[0] = max(now[0], float(row))
            ledger.apply(log.records("weir.feedback", label(f"r{row}", 1.0)))
            ledger.decide()
        assert evaluated == [0.0, 20.0, 40.0]
        now[0] = 60.0
        ledger.decide()
        assert ledger.store.accuracy()["acme", "m"].answers == 50, "without a new label, the last labels are used later"
