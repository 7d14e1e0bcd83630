import msgspec
import pytest
from support.alert_log import ACME, Alerts, bucket_finding, settings, told
from support.ledger_log import Log
from support.signal_log import finding_of, watch_tick

from stream.ledger.decisions import Decisions
from stream.wire.ids import alert_id


def test_the_first_finding_opens_an_alert_and_event_time_without_a_finding_resolves_it(alerts):
    finding = finding_of("r1", 100.0, "pii")
    (opened,) = alerts.run([finding])
    record = opened.data
    assert record.alert_id == alert_id(ACME, "pii", finding.id)
    assert (record.state, record.severity, record.opened_at, record.at) == ("firing", "warning", 100.0, 100.0)
    assert (record.evidence, record.evidence_total, record.causation_ids) == (("r1",), 1, (finding.id,))
    assert (opened.id, opened.causationid, opened.partitionkey) == (f"{record.alert_id}/0", finding.id, record.alert_id)
    assert (opened.severitynumber, opened.correlationid) == ("13", "r1")
    assert record.trace_id == finding.traceparent.split("-")[1]
    assert alerts.opened == [(record.alert_id, "pii", finding.traceparent, ())]
    assert alerts.run([watch_tick(399.0)], 1) == []
    (resolved,) = alerts.run([watch_tick(460.0)], 2)
    assert told([resolved]) == [("pii", "resolved", 1, 400.0)]
    assert resolved.data.resolved_at == 400.0
    assert resolved.traceparent == opened.traceparent
    assert alerts.run([watch_tick(900.0)], 3) == []


def test_an_alert_of_an_idle_stream_resolves_after_a_restart(alerts):
    alerts.run([finding_of("r1", 100.0, "pii")])
    alerts.restart()
    assert told(alerts.run([watch_tick(500.0)], 1)) == [("pii", "resolved", 1, 400.0)]


def test_an_alert_names_a_trained_version_and_no_base_version():
    trained, base = (
        msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, model_version=version))
        for event, version in (
            (finding_of("r1", 100.0, "pii"), "m_59a26d56f505"),
            (finding_of("r2", 101.0, "pii"), "a1b2c3"),
        )
    )
    assert [record.data.model_version for record in Alerts().run([trained, base])] == ["m_59a26d56f505", ""]


def test_an_event_that_two_versions_of_a_detector_scored_counts_once():
    """After a restart with another version, a worker can score events again that its predecessor did not commit."""
    first = [finding_of(f"r{number}", 100.0 + number, "pii") for number in range(10)]
    second = [finding_of(f"r{number}", 100.0 + number, "pii", version="2") for number in range(10)]
    assert {event.id for event in first}.isdisjoint(event.id for event in second)
    records = Alerts().run([*first, *second, finding_of("r10", 110.0, "pii", version="2"), watch_tick(1000.0)])
    assert [record.data.severity for record in records] == ["warning"] * len(records)
    assert (records[-1].data.events, records[-1].data.evidence_total) == (11, 11)


def test_the_next_finding_after_a_resolve_opens_another_alert(alerts):
    log = [finding_of("r1", 100.0, "pii"), watch_tick(500.0), finding_of("r2", 501.0, "pii")]
    first, _, second = alerts.run(log)
    assert first.data.alert_id != second.data.alert_id
    assert second.data.evidence == ("r2",)


def test_a_duplicate_finding_is_ignored_even_after_its_alert_has_resolved(alerts):
    finding = finding_of("r1", 100.0, "pii")
    alerts.run([finding, finding, watch_tick(500.0)])
    assert alerts.run([finding], 3) == []
    state = alerts.states[ACME].detectors["pii"]
    assert state.alert is None


def test_a_duplicate_finding_is_ignored_after_older_findings_are_forgotten():
    newer = finding_of("r2", 650.0, "pii")
    records = Alerts().run([finding_of("r1", 100.0, "pii"), newer, watch_tick(720.0), newer, watch_tick(2000.0)])
    assert (records[-1].data.state, records[-1].data.evidence_total) == ("resolved", 2)


def backlog(now, behind):
    """Yield the events of a gateway's spool that is delivered late: a tick per second, each followed by three findings."""
    for second in range(60):
        yield watch_tick(now + second)
        yield from (finding_of(f"r{second}-{k}", now - behind + 30 * second + 10 * k, "pii") for k in range(3))


def test_the_late_findings_of_a_backlog_are_one_alert_that_ends_after_the_backlog():
    records = Alerts().run([*backlog(10_000.0, 7200.0), watch_tick(10_358.0), watch_tick(10_359.0)])
    assert len({record.data.alert_id for record in records}) == 1
    assert [record.data.state for record in records] == ["firing"] * (len(records) - 1) + ["resolved"]
    first, last = records[0].data, records[-1].data
    assert (first.opened_at, first.at, last.resolved_at) == (2800.0, 10_000.0, 10_359.0)
    assert (last.evidence_total, last.severity) == (180, "critical")


def test_an_old_tick_of_a_paused_worker_does_not_move_the_watermark_back():
    late = [finding_of(f"late{number}", 2000.0 + number, "pii") for number in range(2)]
    log = [watch_tick(3000.0), watch_tick(1500.0), late[0], watch_tick(3001.0), late[1], watch_tick(3300.0)]
    records = Alerts().run([*log, watch_tick(3301.0)])
    assert told(records) == [("pii", "firing", 0, 3000.0), ("pii", "firing", 1, 3010.0), ("pii", "resolved", 2, 3301.0)]


def test_the_alert_of_a_source_whose_clock_is_years_ahead_ends_after_a_day():
    year = 365 * 86_400.0
    log = [watch_tick(1000.0), finding_of("r1", year, "pii"), finding_of("r2", 1001.0, "pii")]
    opened, _, resolved = Alerts().run([*log, watch_tick(87_699.0), watch_tick(87_700.0)])
    assert (opened.data.opened_at, opened.data.at) == (87_400.0, 87_400.0)
    assert (resolved.data.state, resolved.data.resolved_at, resolved.data.evidence_total) == ("resolved", 87_700.0, 2)


def test_a_late_finding_that_is_delivered_twice_counts_once():
    late = finding_of("r1", 100.0, "pii")
    records = Alerts().run([watch_tick(9000.0), late, watch_tick(9001.0), late, watch_tick(9400.0)])
    assert told(records) == [("pii", "firing", 0, 9000.0), ("pii", "resolved", 1, 9300.0)]
    assert records[-1].data.evidence_total == 1


def test_a_finding_that_is_delivered_again_after_its_alert_resolved_opens_a_new_alert():
    """Consumers ignore records of a resolved alert with a lower revision, so the old id would hide the new alert."""
    first = finding_of("r0", 100.0, "pii")
    findings = [first, *(finding_of(f"r{number}", 100.0 + 10 * number, "pii") for number in range(1, 31))]
    log = [
        *findings,
        watch_tick(800.0),
        watch_tick(7200.0),
        first,
        watch_tick(7300.0),
        first,
        watch_tick(14_400.0),
        first,
    ]
    records = Alerts().run(log)
    ledger = Decisions(":memory:")
    ledger.apply(Log().records("weir.alerts", *records))
    rows = ledger.database.execute("SELECT state, revision FROM alerts ORDER BY state, revision").fetchall()
    assert list(map(tuple, rows)) == [("firing", 0), ("resolved", 1), ("resolved", 31)]
    assert [record.data.state for record in records[-3:]] == ["firing", "resolved", "firing"]


def test_updates_are_published_when_they_are_due_for_any_steps_of_event_time():
    log = [finding_of(f"r{number}", 100.0 + number, "pii") for number in range(5)]
    coarse = Alerts().run([*log, watch_tick(150.0)])
    fine = Alerts().run([*log, *(watch_tick(104.0 + step / 2) for step in range(93))])
    assert told(coarse) == [("pii", "firing", 0, 100.0), ("pii", "firing", 1, 110.0)]
    assert [record.data for record in coarse] == [record.data for record in fine]
    assert coarse[1].data.evidence_total == 5


def test_a_finding_publishes_an_update_that_is_due(alerts):
    log = [finding_of("r1", 100.0, "pii"), finding_of("r2", 105.0, "pii"), finding_of("r3", 112.0, "pii")]
    assert told(alerts.run(log)) == [("pii", "firing", 0, 100.0), ("pii", "firing", 1, 112.0)]


def test_an_alert_becomes_critical_at_its_number_of_findings_and_is_published_immediately():
    alerts = Alerts(settings(alerts={"critical_findings": 3}))
    records = alerts.run([finding_of(f"r{number}", 100.0 + number, "toxicity") for number in range(4)])
    assert [(record.data.severity, record.data.at) for record in records] == [("warning", 100.0), ("critical", 102.0)]
    assert records[1].severitytext == "critical"


def test_evidence_is_bounded_and_has_the_first_and_the_newest_requests(alerts):
    log = [finding_of(f"r{number}", 100.0 + number / 10, "pii", principal=f"k{number}") for number in range(100)]
    alerts.run(log)
    (update,) = alerts.run([watch_tick(112.0)], 100)
    assert update.data.evidence == tuple(f"r{number}" for number in (*range(10), *range(90, 100)))
    assert update.data.evidence_total == 100
    assert len(update.data.causation_ids) == 20
    assert len(update.data.principals) == 32
    assert ", at least 100 API keys." in update.data.summary
    assert update.data.windows == 2


@pytest.mark.parametrize(("others", "shown"), [(32, 1000), (300, 1002)])
def test_the_key_with_the_most_findings_is_named_although_its_findings_are_the_last(alerts, others, shown):
    """With more than 256 keys, a count can be too high by 1/256 of all findings."""
    names = [name for index in range(others) for name in [f"k{index}"] * 2] + ["mallory"] * 1000
    log = [finding_of(f"r{number}", 100.0 + number / 100, "pii", principal=name) for number, name in enumerate(names)]
    alerts.run(log)
    (update,) = alerts.run([watch_tick(130.0)], len(log))
    assert len(update.data.principals) == 32
    assert next(iter(update.data.principals.items())) == ("mallory", shown)
    counts = alerts.states[ACME].detectors["pii"].evidence.principals
    assert (len(counts), sum(counts.values())) == (min(others + 1, 256), len(log))


def test_an_alert_has_the_highest_score_of_its_findings():
    log = [finding_of("r1", 100.0, "pii", score=0.9), finding_of("r2", 101.0, "pii", score=0.6), watch_tick(112.0)]
    assert [record.data.score for record in Alerts().run(log)] == [0.9, 0.9]


def test_after_a_crash_between_publishing_and_writing_records_are_published_again_with_the_same_ids():
    log = [finding_of(f"r{number}", 100.0 + 7 * number, "pii") for number in range(6)] + [watch_tick(900.0)]
    expected = Alerts().run(log)
    for crash_at in range(len(log)):
        alerts = Alerts()
        before = alerts.run(log[:crash_at])
        alerts.restart()
        lost = alerts.apply(log[crash_at], crash_at)
        again = Alerts()
        again.run(log[:crash_at])
        again.restart()
        after = again.run(log, 0)
        assert [*before, *after] == expected
        assert all(record in after for record in lost)


@pytest.mark.parametrize(
    "log",
    [
        [finding_of("r1", 100.0, "pii"), watch_tick(9000.0)],  # the tick also deletes the short id of the finding
        [bucket_finding(1), watch_tick(25.0), bucket_finding(2)],  # the second finding is newer than the last record
    ],
    ids=["finding", "tick"],
)
def test_records_that_are_read_again_after_their_state_was_written_change_nothing(alerts, log):
    alerts.run(log)
    assert alerts.changed()[ACME].offset == len(log) - 1
    alerts.restart()
    assert alerts.run(log) == []


def test_a_finding_below_the_tenants_threshold_opens_no_alert_and_is_no_evidence():
    alerts = Alerts(settings(alerts={"threshold": {"pii": 0.95, "toxicity": 0.9}}))
    assert alerts.run([finding_of("r1", 100.0, "pii")]) == []
    (opened,) = alerts.run([finding_of("r2", 101.0, "toxicity")], 1)
    assert opened.data.evidence == ("r2",)
    assert alerts.run([finding_of("r1", 100.0, "pii")], 2) == [], "a duplicate finding is below the threshold too"


def test_a_state_without_an_alert_is_deleted_and_a_firing_one_is_kept(alerts):
    start, day = 1_800_000_000.0, 86_400.0
    assert len(alerts.run([watch_tick(start), finding_of("r1", start, "pii")])) == 1
    assert alerts.run([watch_tick(start + 299.0)], 2) == []
    assert len(alerts.run([watch_tick(start + 500.0)], 3)) == 1
    assert alerts.changed()[ACME].held, "duplicates of the finding can still come"
    alerts.run([watch_tick(start + 601.0)], 4)
    assert (alerts.states, alerts.changed()) == ({}, {ACME: None})
    number = int(start // 5)
    alerts.run([bucket_finding(number, alarm=False), watch_tick(start + 14 * day)], 5)
    assert alerts.states.keys() == {ACME}
    alerts.run([watch_tick(start + 14 * day + 6.0)], 7)
    assert (alerts.states, alerts.changed()) == ({}, {ACME: None})
