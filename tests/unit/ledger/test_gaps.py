"""Alerts for gap records: one alert for each episode, at any times at which the ledger decides."""

import pytest
from support.events import tick
from support.ledger_log import Log, gap
from support.ledger_store import MemoryLedger, states

SETTINGS = {"gap_resolve_seconds": 300.0, "lag_seconds": 1e9}
FIRING, RESOLVED = ("gap", "", "firing"), ("gap", "", "resolved")


@pytest.fixture
def ledger():
    with MemoryLedger(**SETTINGS) as made:
        yield made


def test_a_gap_fires_with_its_counts_and_requests_and_resolves_without_further_records(log, ledger):
    ledger.apply(log.inference(tick(100.0), gap("s1", 7, 9, ("r7", "r8")), tick(101.0)))
    (fired,) = ledger.decide()
    assert (fired.detector, fired.tenant, fired.severity, fired.state) == ("gap", "_weir", "critical", "firing")
    assert (fired.statistic, "full 3" in fired.summary, "s1 3" in fired.summary) == (3.0, True, True)
    assert (fired.evidence, fired.evidence_total, fired.opened_at) == (("r7", "r8"), 2, 100.0)
    assert "capture.limit_bytes" in fired.runbook
    ledger.apply(log.inference(tick(300.0), gap("s2", 1, 1, ("r1",), reason="oversize"), tick(399.0)))
    (grown,) = ledger.decide()
    assert grown.statistic == 4.0
    assert all(part in grown.summary for part in ("full 3, oversize 1", "s1 3, s2 1"))
    assert ledger.apply(log.inference(tick(599.0))).decide() == []
    (resolved,) = ledger.apply(log.inference(tick(650.0))).decide()
    assert (resolved.alert_id, resolved.state, resolved.resolved_at) == (fired.alert_id, "resolved", 600.0)
    assert ledger.decide(3) == []


def test_a_gap_that_is_read_after_its_end_still_has_an_alert(ledger):
    ledger.apply(Log().inference(tick(100.0), gap("s1", 7, 9), tick(101.0), tick(9_000.0)))
    assert states(ledger.decide(3)) == [FIRING, RESOLVED]
    (alert,) = ledger.alerts()
    assert (alert.opened_at, alert.resolved_at) == (100.0, 400.0)


def test_a_gap_record_without_ticks_during_the_loss_resolves_after_its_own_time(log, ledger):
    ledger.apply(log.inference(tick(100.0), gap("s1", 7, 9, time=3700.0), tick(3701.0)))
    assert states(ledger.decide(3)) == [FIRING]
    ledger.apply(log.inference(gap("s1", 12, 12, ("r12",), time=3705.0), tick(4004.0)))
    (grown,) = ledger.decide(3)
    assert (grown.state, grown.statistic, grown.opened_at) == ("firing", 4.0, 100.0)
    (resolved,) = ledger.apply(log.inference(tick(4005.5))).decide(3)
    assert (resolved.state, resolved.resolved_at) == ("resolved", 4005.0)


def test_two_episodes_are_two_alerts_in_order(ledger):
    ledger.apply(Log().inference(tick(100.0), gap("s1", 1, 1), tick(400.0), gap("s1", 9, 9), tick(401.0)))
    assert states(ledger.decide(4)) == [FIRING, RESOLVED, FIRING]
    first, second = ledger.alerts()
    assert "1 record of an accepted request was lost and not monitored" in second.summary
    assert (first.resolved_at, second.opened_at, second.state) == (400.0, 400.0, "firing")


def test_a_gap_waits_until_every_partition_has_a_later_tick(log):
    with MemoryLedger(partitions=2) as ledger:
        ledger.apply(log.inference(tick(100.0), gap("s1", 1, 1), tick(105.0)))
        ledger.apply(log.inference(tick(100.0), partition=1))
        assert ledger.decide() == [], "partition 1 can still contain an earlier gap"
        ledger.apply(log.inference(tick(101.0), partition=1))
        assert states(ledger.decide()) == [FIRING]


def test_a_rebuilt_ledger_publishes_no_old_alert_again(log, ledger):
    records = log.inference(tick(100.0), gap("s1", 7, 9), tick(101.0), tick(9_000.0))
    ledger.apply(records).decide(3)
    with MemoryLedger(**SETTINGS) as rebuilt:
        for record in ledger.published:
            rebuilt.store.decisions._store_alert(record, "")
        assert rebuilt.apply(records).decide(3) == []
