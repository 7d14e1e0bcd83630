"""Silent detectors: errors alone or nothing over a stretch, one alert for one cause."""

import pytest
from support.ledger_log import Log, forwarded, request, tick, verdict
from support.ledger_store import LedgerBook, told

OWED = ("injection", "pii", "toxicity")
BROKEN = "detector:pii"


class Story:
    """Requests five seconds apart, and what their detectors said."""

    def __init__(self, ledger):
        self.ledger, self.log, self.now, self.number = ledger, Log(), 0.0, 0

    def go(self, count, labels, owed=OWED):
        """Ask `count` requests; {detector: label} are the answers, who is not named gives none."""
        for _ in range(count):
            self.now, self.number = self.now + 5.0, self.number + 1
            event = request(f"r{self.number:04}", self.now, owed=owed)
            answers = [verdict(event, name, label=label) for name, label in labels.items()]
            self.ledger.apply(self.log.inference(event, tick(self.now)))
            self.ledger.apply(self.log.verdicts(*answers, forwarded({"s1": self.now + 1.0})))
        return self

    def look(self, times=1):
        return told(self.ledger.look(times))


@pytest.fixture
def story():
    with LedgerBook() as ledger:
        yield Story(ledger)


def labels(**broken):
    return {name: broken.get(name, "ok") for name in OWED if broken.get(name, "ok")}


def test_errors_alone_over_20_events_are_a_silence_of_that_detector_until_it_answers(story):
    story.go(3, labels()).go(19, labels(pii="error"))
    assert story.look() == []
    story.go(1, labels(pii="error"))
    assert story.look() == [("silence", BROKEN, "firing")]
    (fired,) = story.ledger.alerts()
    assert (
        fired.summary == "detector pii has answered none of the last 20 owed verdicts, over 95 s: 20 errors, 0 absent"
    )
    assert (len(fired.evidence), fired.evidence[0], fired.severity) == (20, "r0004", "critical")
    assert "score's log" in fired.runbook
    story.go(1, labels())
    assert story.look() == [("silence", BROKEN, "resolved")]


def test_a_burst_of_errors_is_no_silence(story):
    story.go(1, labels())
    story.ledger.apply(
        [
            *story.log.inference(*(request(f"q{n:02}", 6.0 + n / 10) for n in range(40))),
            *story.log.verdicts(*(verdict(request(f"q{n:02}", 6.0 + n / 10), "pii", label="error") for n in range(40))),
        ]
    )
    assert story.look() == []


def test_no_verdicts_at_all_while_others_answer_are_a_silence_beside_what_coverage_lacks(story):
    story.go(25, labels(pii=None))
    assert sorted(story.look()) == [("coverage", "", "firing"), ("silence", BROKEN, "firing")]
    (silent,) = story.ledger.alerts("silence")
    assert silent.summary.endswith("0 errors, 25 absent")


def test_every_detector_failing_is_one_alert(story):
    story.go(2, labels()).go(40, dict.fromkeys(OWED, "error"))
    assert story.look(3) == [("silence", "detector:*", "firing")]
    (fired,) = story.ledger.alerts()
    assert fired.summary.startswith("detectors injection, pii, toxicity have answered none of the last 120")
    story.go(1, labels(pii="error"))
    assert sorted(story.look(3)) == [("silence", "detector:*", "resolved"), ("silence", BROKEN, "firing")]


def test_a_silence_that_fires_alone_goes_on_when_the_others_fail_too(story):
    story.go(2, labels()).go(30, labels(pii="error"))
    assert story.look() == [("silence", BROKEN, "firing")]
    story.go(30, dict.fromkeys(OWED, "error"))
    assert told(story.ledger.alerts("silence")) == [("silence", BROKEN, "firing")]
    assert ("silence", BROKEN, "resolved") not in story.look()


def test_with_score_away_nothing_is_silent_and_the_lag_is_the_one_alert(story):
    story.go(3, labels())
    events = [request(f"q{n:03}", 20.0 + n, owed=OWED) for n in range(200)]
    story.ledger.apply(story.log.inference(*events, tick(220.0)))
    assert story.look(3) == [("lag", "", "firing")]
    story.ledger.apply(story.log.verdicts(*(verdict(event, name) for event in events for name in OWED)))
    assert story.look() == [], "verdicts alone are not what says that score went past"
    story.ledger.apply(story.log.verdicts(forwarded({"s1": 220.0})))
    assert story.look(3) == [("lag", "", "resolved")]


def test_a_detector_that_is_owed_no_more_is_silent_no_more_and_may_be_again(story):
    story.go(2, labels()).go(30, labels(pii="error"))
    assert story.look() == [("silence", BROKEN, "firing")]
    others = ("injection", "toxicity")
    story.go(721, labels(pii=None), owed=others)
    assert story.look() == [("silence", BROKEN, "resolved")]
    assert story.look(3) == []
    story.go(1, labels(pii="error"))
    assert story.look(3) == [("silence", BROKEN, "firing")]
    first, second = story.ledger.alerts("silence")
    assert first.alert_id != second.alert_id


def test_an_error_that_is_mended_was_no_silence(story):
    story.go(2, labels()).go(30, labels(pii="error"))
    assert story.look() == [("silence", BROKEN, "firing")]
    last = request(f"r{story.number:04}", story.now, owed=OWED)
    story.ledger.apply(story.log.verdicts(verdict(last, "pii", version="2")))
    assert story.look() == [("silence", BROKEN, "resolved")]
