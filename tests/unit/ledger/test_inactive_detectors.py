"""Alerts about inactive detectors, which write only errors or no verdict for some time; one alert for each cause."""

import pytest
from support.events import tick
from support.ledger_log import Log, forwarded, request, verdict
from support.ledger_store import MemoryLedger, states

DETECTORS = ("injection", "pii", "toxicity")
PII, ALL = "detector:pii", "detector:*"


class Traffic:
    """Requests five seconds apart, and the verdicts on them."""

    def __init__(self, ledger):
        self.ledger, self.log, self.now, self.number = ledger, Log(), 0.0, 0

    def go(self, count, labels, expected=DETECTORS):
        """Add `count` requests with verdicts {detector: label}."""
        for _ in range(count):
            self.now, self.number = self.now + 5.0, self.number + 1
            event = request(f"r{self.number:04}", self.now, owed=expected)
            verdicts = [verdict(event, name, label=label) for name, label in labels.items()]
            self.ledger.apply(self.log.inference(event, tick(self.now)))
            self.ledger.apply(self.log.verdicts(*verdicts, forwarded({"s1": self.now + 1.0})))
        return self

    def decide(self, times=1):
        return states(self.ledger.decide(times))


@pytest.fixture
def traffic():
    with MemoryLedger() as ledger:
        yield Traffic(ledger)


def labels(**changed):
    return {name: label for name in DETECTORS if (label := changed.get(name, "ok"))}


def test_errors_on_20_events_open_an_alert_that_resolves_with_an_answer(traffic):
    traffic.go(3, labels()).go(19, labels(pii="error"))
    assert traffic.decide() == []
    traffic.go(1, labels(pii="error"))
    assert traffic.decide() == [("silence", PII, "firing")]
    (fired,) = traffic.ledger.alerts()
    assert all(part in fired.summary for part in ("detector pii", "last 20 ", "95 s", "20 errors, 0 missing"))
    assert (len(fired.evidence), fired.evidence[0], fired.severity) == (20, "r0004", "critical")
    assert "score's log" in fired.runbook
    traffic.go(1, labels())
    assert traffic.decide() == [("silence", PII, "resolved")]


def test_a_burst_of_errors_is_no_inactivity(traffic):
    traffic.go(1, labels())
    events = [request(f"q{n:02}", 6.0 + n / 10) for n in range(40)]
    errors = [verdict(event, "pii", label="error") for event in events]
    traffic.ledger.apply([*traffic.log.inference(*events), *traffic.log.verdicts(*errors)])
    assert traffic.decide() == []


def test_missing_verdicts_of_one_detector_are_inactivity_and_lower_coverage(traffic):
    traffic.go(25, labels(pii=None))
    assert sorted(traffic.decide()) == [("coverage", "", "firing"), ("silence", PII, "firing")]
    (inactive,) = traffic.ledger.alerts("silence")
    assert "0 errors, 25 missing" in inactive.summary


def test_all_detectors_failing_are_one_alert(traffic):
    traffic.go(2, labels()).go(40, dict.fromkeys(DETECTORS, "error"))
    assert traffic.decide(3) == [("silence", ALL, "firing")]
    (fired,) = traffic.ledger.alerts()
    assert all(part in fired.summary for part in ("detectors injection, pii, toxicity", "last 120 "))
    traffic.go(1, labels(pii="error"))
    assert sorted(traffic.decide(3)) == [("silence", ALL, "resolved"), ("silence", PII, "firing")]


def test_an_alert_about_one_detector_continues_when_the_others_fail_too(traffic):
    traffic.go(2, labels()).go(30, labels(pii="error"))
    assert traffic.decide() == [("silence", PII, "firing")]
    traffic.go(30, dict.fromkeys(DETECTORS, "error"))
    assert states(traffic.ledger.alerts("silence")) == [("silence", PII, "firing")]
    assert ("silence", PII, "resolved") not in traffic.decide()


def test_without_score_the_lag_is_the_only_alert(traffic):
    traffic.go(3, labels())
    events = [request(f"q{n:03}", 20.0 + n, owed=DETECTORS) for n in range(200)]
    traffic.ledger.apply(traffic.log.inference(*events, tick(220.0)))
    assert traffic.decide(5) == [("lag", "", "firing")]
    traffic.ledger.apply(traffic.log.verdicts(*(verdict(event, name) for event in events for name in DETECTORS)))
    assert traffic.decide() == [], "score's tick, not its verdicts, shows its progress"
    traffic.ledger.apply(traffic.log.verdicts(forwarded({"s1": 220.0})))
    assert traffic.decide(3) == [("lag", "", "resolved")]


def test_a_disabled_detector_resolves_its_alert_and_a_later_alert_has_another_id(traffic):
    traffic.go(2, labels()).go(30, labels(pii="error"))
    assert traffic.decide() == [("silence", PII, "firing")]
    traffic.go(721, labels(pii=None), expected=("injection", "toxicity"))
    assert traffic.decide() == [("silence", PII, "resolved")]
    assert traffic.decide(3) == []
    traffic.go(1, labels(pii="error"))
    assert traffic.decide(3) == [("silence", PII, "firing")]
    first, second = traffic.ledger.alerts("silence")
    assert first.alert_id != second.alert_id


def test_a_second_failure_of_all_detectors_has_another_id(traffic):
    """Between the failures, pii never answers: its alert takes over, and resolves because pii is switched off."""
    traffic.go(2, labels()).go(1, labels(pii="error")).go(40, dict.fromkeys(DETECTORS, "error"))
    assert traffic.decide(3) == [("silence", ALL, "firing")]
    traffic.go(1, labels(pii="error"))
    assert sorted(traffic.decide(3)) == [("silence", ALL, "resolved"), ("silence", PII, "firing")]
    traffic.go(721, labels(pii=None), expected=("injection", "toxicity"))
    assert traffic.decide(3) == [("silence", PII, "resolved")]
    traffic.go(40, dict.fromkeys(DETECTORS, "error"))
    fired = traffic.decide(3)
    assert ("silence", ALL, "firing") in fired, fired


def test_a_verdict_that_replaces_an_error_resolves_the_alert(traffic):
    traffic.go(2, labels()).go(30, labels(pii="error"))
    assert traffic.decide() == [("silence", PII, "firing")]
    last = request(f"r{traffic.number:04}", traffic.now, owed=DETECTORS)
    traffic.ledger.apply(traffic.log.verdicts(verdict(last, "pii", version="2")))
    assert traffic.decide() == [("silence", PII, "resolved")]


def two_partitions(ledger, count, label):
    """Store `count` requests in each of two partitions; `label(number, partition)` is the label of pii's verdict."""
    log = Log()
    for n in range(1, count + 1):
        for p in (0, 1):
            event = request(f"r{n:02}-{p}", 5.0 * n, owed=("pii",))
            verdicts = [verdict(event, "pii", label=label(n, p))] if label(n, p) else []
            ledger.apply(log.inference(event, tick(5.0 * n), partition=p))
            ledger.apply(log.verdicts(*verdicts, forwarded({"s1": 5.0 * n + 1}, partition=p), partition=p))


@pytest.mark.parametrize("good", [0, 1])
def test_an_answer_in_any_partition_is_an_answer(good):
    with MemoryLedger(partitions=2) as ledger:
        two_partitions(ledger, 40, lambda n, p: "ok" if p == good or n == 1 else "error")
        assert states(ledger.decide(3)) == []


@pytest.mark.parametrize(("label", "counts"), [("error", "26 errors, 0 missing"), (None, "0 errors, 26 missing")])
def test_unanswered_events_of_all_partitions_are_counted_oldest_first(label, counts):
    with MemoryLedger(partitions=2) as ledger:
        two_partitions(ledger, 14, lambda n, _p: "ok" if n == 1 else label)
        ledger.decide(3)
        (fired,) = ledger.alerts("silence")
    assert ("last 26 " in fired.summary, counts in fired.summary) == (True, True), fired.summary
    assert (fired.evidence[:3], fired.evidence_total) == (("r02-0", "r02-1", "r03-0"), 26)
