"""The alert about a full spool of a source, with hysteresis."""

from support.events import closed, tick
from support.ledger_log import Log
from support.ledger_store import MemoryLedger, spooled, states


def test_a_spool_fires_at_80_percent_and_resolves_below_60(log, ledger):
    assert ledger.apply(log.inference(spooled(tick(100.0), 0.79))).decide() == []
    ledger.apply(log.inference(spooled(tick(101.0), 0.8), spooled(tick(102.0), 0.9)))
    (fired,) = ledger.decide()
    assert (fired.detector, fired.feature, fired.severity, fired.opened_at) == ("spool", "s1", "critical", 101.0)
    assert fired.summary == "The spool of s1 is 90 % full (limit 80 %)"  # `runbook` states what a full spool does
    assert ledger.apply(log.inference(spooled(tick(103.0), 0.6))).decide() == []
    assert states(ledger.apply(log.inference(spooled(tick(104.0), 0.59))).decide()) == [("spool", "s1", "resolved")]


def test_each_source_has_its_own_alert_and_a_closed_source_has_none(log, ledger):
    ledger.apply(log.inference(spooled(tick(100.0), 0.9), spooled(tick(100.0, source="s2"), 0.95)))
    assert sorted(states(ledger.decide())) == [("spool", "s1", "firing"), ("spool", "s2", "firing")]
    ledger.apply(log.inference(closed(101.0, source="s2")))
    assert states(ledger.decide()) == [("spool", "s2", "resolved")]


def test_an_older_tick_is_ignored(ledger):
    ledger.apply(Log().inference(spooled(tick(100.0), 0.9), tick(101.0), spooled(tick(100.0), 0.9)))
    assert ledger.decide() == []


def test_the_newest_tick_of_all_partitions_decides(log):
    with MemoryLedger(partitions=2) as ledger:
        for partition in (0, 1):
            ledger.apply(log.inference(spooled(tick(100.0), 0.9), partition=partition))
        ledger.apply(log.inference(tick(101.0), partition=1))
        assert ledger.decide() == []
