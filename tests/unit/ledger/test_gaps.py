"""Gap records become one alert an episode, whenever the ledger looks."""

import pytest
from support.ledger_log import Log, gap, tick
from support.ledger_store import LedgerBook, told

SETTINGS = {"gap_resolve_seconds": 300.0, "lag_seconds": 1e9}


@pytest.fixture
def ledger():
    with LedgerBook(**SETTINGS) as book:
        yield book


def test_a_gap_fires_with_sources_reasons_and_requests_and_resolves_after_log_time_without_another(ledger):
    log = Log()
    ledger.apply(log.inference(tick(100.0), gap("s1", 7, 9, ("r7", "r8")), tick(101.0)))
    (fired,) = ledger.look()
    assert (fired.detector, fired.tenant, fired.severity, fired.state) == ("gap", "_weir", "critical", "firing")
    assert fired.summary == "3 requests and ends were accepted and could not be kept (full 3; sources s1 3)"
    assert (fired.evidence, fired.evidence_total, fired.opened_at) == (("r7", "r8"), 2, 100.0)
    assert "capture.limit_bytes" in fired.runbook
    ledger.apply(log.inference(tick(300.0), gap("s2", 1, 1, ("r1",), reason="oversize"), tick(399.0)))
    (grown,) = ledger.look()
    assert grown.summary.endswith("(full 3, oversize 1; sources s1 3, s2 1)")
    ledger.apply(log.inference(tick(599.0)))
    assert ledger.look() == []
    ledger.apply(log.inference(tick(650.0)))
    (resolved,) = ledger.look()
    assert (resolved.alert_id, resolved.state, resolved.resolved_at) == (fired.alert_id, "resolved", 600.0)
    assert ledger.look(3) == []


def test_a_gap_that_is_read_only_when_it_is_long_over_is_told_all_the_same(ledger):
    ledger.apply(Log().inference(tick(100.0), gap("s1", 7, 9), tick(101.0), tick(9_000.0)))
    assert told(ledger.look(3)) == [("gap", "", "firing"), ("gap", "", "resolved")]
    (alert,) = ledger.alerts()
    assert (alert.opened_at, alert.resolved_at) == (100.0, 400.0)


def test_two_episodes_are_two_alerts_one_after_the_other(ledger):
    log = Log()
    ledger.apply(log.inference(tick(100.0), gap("s1", 1, 1), tick(400.0), gap("s1", 9, 9), tick(401.0)))
    assert told(ledger.look(4)) == [("gap", "", "firing"), ("gap", "", "resolved"), ("gap", "", "firing")]
    first, second = ledger.alerts()
    assert (first.resolved_at, second.opened_at, second.state) == (400.0, 400.0, "firing")


def test_a_gap_waits_until_every_partition_has_told_a_later_time():
    log = Log()
    with LedgerBook(partitions=2) as ledger:
        ledger.apply(log.inference(tick(100.0), gap("s1", 1, 1), tick(105.0)))
        ledger.apply(log.inference(tick(100.0), partition=1))
        assert ledger.look() == [], "partition 1 may still bring an earlier one"
        ledger.apply(log.inference(tick(101.0), partition=1))
        assert told(ledger.look()) == [("gap", "", "firing")]


def test_a_gap_record_that_came_twice_is_one(ledger):
    log = Log()
    ledger.apply(log.inference(tick(100.0), gap("s1", 7, 9), gap("s1", 7, 9), tick(101.0)))
    assert ledger.look()[0].statistic == 3.0


def test_a_ledger_that_reads_everything_anew_tells_nothing_again(ledger):
    log = Log()
    records = log.inference(tick(100.0), gap("s1", 7, 9), tick(101.0), tick(9_000.0))
    ledger.apply(records).look(3)
    with LedgerBook(**SETTINGS) as again:
        again.book.decisions.decide([])
        for record in ledger.published:
            again.book.decisions._alert(record, "")
        again.apply(records)
        assert again.look(3) == []
