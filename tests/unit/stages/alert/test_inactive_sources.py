from support.alert_log import Alerts
from support.signal_log import score_tick, watch_tick
from support.source_liveness_log import START, found, rules, tick_lanes

from stream.stages.watch.source_liveness import OWN_STREAM, SourceLiveness
from stream.wire.ids import alert_id


def findings(gaps, seconds=400, closes=None):
    (lane,) = tick_lanes(seconds, {"a": [], **gaps}, closes)
    return found(SourceLiveness(rules(1)), lane)


def test_the_alert_about_an_inactive_source_resolves_after_three_clear_buckets():
    log = findings({"b": [(100, 200)]})
    opened, resolved = Alerts().run(log)
    record = opened.data
    assert record.alert_id == alert_id(OWN_STREAM, "silence", log[0].id)
    assert (record.detector, record.tenant, record.model, record.side) == ("silence", "_weir", "", "")
    assert (record.state, record.severity, record.feature, record.at) == ("firing", "warning", "b", START + 180)
    assert (record.evidence, record.evidence_total, record.events, record.principals) == ((), 0, 0, {})
    assert record.causation_ids == (log[0].id,)
    parts = ("Source b is inactive", "10:01:39 UTC", "81 s behind", "limit 60 s")
    assert [part for part in parts if part not in record.summary] == []
    assert (resolved.data.state, resolved.data.resolved_at) == ("resolved", START + 270)
    assert resolved.data.alert_id == record.alert_id


def test_the_alert_about_a_source_that_sends_late_events_states_that_it_still_sends():
    """The clock of the source is 90 s behind, or its shipper delivers a backlog."""
    ticks = [
        score_tick(0, {"a": START + second} | ({"b": START + second - 90} if second > 100 else {}))
        for second in range(1, 200)
    ]
    opened, update = (event.data for event in Alerts().run(found(SourceLiveness(rules(1)), ticks))[:2])
    assert "inactive" in opened.summary
    assert "or its clock is behind" in opened.summary
    assert "Source b is late: its last event time is 10:01:00 UTC, 90 s behind" in update.summary
    assert "It still sends" in update.summary


def test_the_alert_fires_while_the_source_is_inactive_and_becomes_critical_after_twenty_buckets():
    records = [event.data for event in Alerts().run(findings({"b": [(100, 900)]}, 900))]
    assert [record.state for record in records] == ["firing"] * len(records)
    assert [record.severity for record in records].index("critical") == 19
    assert len({record.alert_id for record in records}) == 1


def test_duplicate_findings_after_a_crash_are_ignored(alerts):
    log = findings({"b": [(100, 200)]})
    alerts.run(log)
    alerts.restart()
    assert alerts.run(log, len(log)) == []


def test_the_state_of_a_source_is_deleted_ten_minutes_after_its_alert_resolved(alerts):
    alerts.run(findings({"b": [(100, 200)]}))
    (state,) = alerts.states.values()
    assert len(state.detectors) == 1
    alerts.run([watch_tick(START + 869)], 100)
    assert len(state.detectors) == 1
    alerts.run([watch_tick(START + 871)], 101)
    assert state.detectors == {}
