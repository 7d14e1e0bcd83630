import pytest

from weir.local.health.hang_detector import HANG_SECONDS, SICK_SECONDS, Judge
from weir.local.health.health_probe import Health

WELL = Health(ok=True)
SILENT = Health(ok=False, hung=True, detail="timed out")
SICK = Health(ok=False, detail="serving: no replica")
WAITING = Health(ok=False, waiting=True, detail="waiting for kafka")


def restarted_at(answers, *, interval=2.0, age=1000.0, seconds=1000.0, pid=1):
    """Return the second of the first restart while `answers(second)` is given, or None."""
    judge = Judge(ready_seconds=60)
    judge.see(WELL, pid=pid, now=0.0, age=age)
    second = 0.0
    while second < seconds:
        second += interval
        if judge.see(answers(second), pid=pid, now=second, age=age + second).restart:
            return second
    return None


def test_silence_is_a_hang_after_its_time():
    assert restarted_at(lambda _: SILENT) == pytest.approx(HANG_SECONDS + 2, abs=2)


def test_an_answer_that_says_unwell_gets_longer():
    assert restarted_at(lambda _: SICK) == pytest.approx(SICK_SECONDS + 2, abs=2)


def test_waiting_never_restarts():
    assert restarted_at(lambda _: WAITING) is None


def test_one_good_answer_begins_anew():
    assert restarted_at(lambda second: WELL if second % 10 == 0 else SILENT) is None


def test_few_answers_are_no_hang_however_long_they_took():
    assert restarted_at(lambda _: SILENT, interval=HANG_SECONDS, seconds=4 * HANG_SECONDS) is None


def test_a_start_may_be_silent_until_its_time_is_over():
    judge = Judge(ready_seconds=60)
    verdicts = {age: judge.see(SILENT, pid=1, now=float(age), age=float(age)) for age in range(0, 200, 2)}
    first = next(age for age, verdict in verdicts.items() if verdict.restart)
    assert 60 + HANG_SECONDS <= first <= 60 + HANG_SECONDS + 4


def test_another_process_has_a_history_of_its_own():
    judge = Judge(ready_seconds=60)
    judge.see(WELL, pid=1, now=0.0, age=100.0)
    for second in range(1, 15):
        judge.see(SILENT, pid=1, now=float(second), age=100.0)
    assert not any(judge.see(SILENT, pid=2, now=100.0 + s, age=float(s)).restart for s in range(59))


def test_illness_and_recovery_are_told_once():
    judge = Judge(ready_seconds=60)
    judge.see(WELL, pid=1, now=0.0, age=100.0)
    news = [judge.see(WAITING, pid=1, now=float(s), age=100.0).news for s in range(1, 20)]
    assert [text for text in news if text] == ["is not healthy: waiting for kafka"]
    assert judge.see(WELL, pid=1, now=20.0, age=100.0).news == "is healthy again"
    assert judge.see(WELL, pid=1, now=21.0, age=100.0).news == ""
