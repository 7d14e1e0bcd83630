"""A spool that fills up is an alert of its source, with a way back that does not flicker."""

import pytest
from support.ledger_log import Log, closed, tick
from support.ledger_store import LedgerBook, spooled, told


@pytest.fixture
def ledger():
    with LedgerBook() as book:
        yield book


def test_a_spool_fires_at_80_percent_and_resolves_below_60(ledger):
    log = Log()
    ledger.apply(log.inference(spooled(tick(100.0), 0.79)))
    assert ledger.look() == []
    ledger.apply(log.inference(spooled(tick(101.0), 0.8), spooled(tick(102.0), 0.9)))
    (fired,) = ledger.look()
    assert (fired.detector, fired.feature, fired.severity, fired.opened_at) == ("spool", "s1", "critical", 101.0)
    assert fired.summary.startswith("the spool of s1 is taken to 90%, the bound is 80%")
    ledger.apply(log.inference(spooled(tick(103.0), 0.6)))
    assert ledger.look() == []
    ledger.apply(log.inference(spooled(tick(104.0), 0.59)))
    assert told(ledger.look()) == [("spool", "s1", "resolved")]


def test_each_source_has_its_own_and_one_that_closed_has_none(ledger):
    log = Log()
    ledger.apply(log.inference(spooled(tick(100.0), 0.9), spooled(tick(100.0, source="s2"), 0.95)))
    assert sorted(told(ledger.look())) == [("spool", "s1", "firing"), ("spool", "s2", "firing")]
    ledger.apply(log.inference(closed(101.0, source="s2")))
    assert told(ledger.look()) == [("spool", "s2", "resolved")]


def test_a_tick_that_came_again_takes_nothing_back(ledger):
    log = Log()
    ledger.apply(log.inference(spooled(tick(100.0), 0.9), tick(101.0), spooled(tick(100.0), 0.9)))
    assert ledger.look() == []


def test_the_partition_that_was_read_furthest_has_the_word():
    log = Log()
    with LedgerBook(partitions=2) as ledger:
        for partition in (0, 1):
            ledger.apply(log.inference(spooled(tick(100.0), 0.9), partition=partition))
        ledger.apply(log.inference(tick(101.0), partition=1))
        assert ledger.look() == []
