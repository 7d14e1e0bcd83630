import pytest

from weir.local.health.hang_detector import HANG_SECONDS, UNHEALTHY_SECONDS, HangDetector
from weir.local.health.health_probe import Health

READY_SECONDS = 60
HEALTHY = Health(ok=True)
NO_ANSWER = Health(ok=False, hung=True, detail="timed out")
UNHEALTHY = Health(ok=False, detail="serving: no replica")
WAITING = Health(ok=False, waiting=True, detail="waiting for kafka")


@pytest.fixture
def detector():
    return HangDetector(ready_seconds=READY_SECONDS)


def restarted_at(detector, answers, *, interval=2.0, seconds=1000.0):
    """Return the second of the first restart if the process answers `answers(second)`, or None without a restart."""
    detector.update(HEALTHY, pid=1, now=0.0)
    second = 0.0
    while second < seconds:
        second += interval
        if detector.update(answers(second), pid=1, now=second).restart:
            return second
    return None


@pytest.mark.parametrize(("answer", "limit"), [(NO_ANSWER, HANG_SECONDS), (UNHEALTHY, UNHEALTHY_SECONDS)])
def test_a_process_is_restarted_after_the_limit_of_its_answer(detector, answer, limit):
    assert restarted_at(detector, lambda _: answer) == pytest.approx(limit + 2, abs=2)


@pytest.mark.parametrize(
    ("answers", "options"),
    [
        (lambda _: WAITING, {}),
        (lambda second: HEALTHY if second % 10 == 0 else NO_ANSWER, {}),
        (lambda _: NO_ANSWER, {"interval": HANG_SECONDS, "seconds": 4 * HANG_SECONDS}),
    ],
    ids=["waiting", "a healthy answer in between", "few answers over a long time"],
)
def test_a_process_that_waits_or_answers_is_not_restarted(detector, answers, options):
    assert restarted_at(detector, answers, **options) is None


def test_a_starting_process_need_not_answer_until_the_limit_of_a_start(detector):
    decisions = {age: detector.update(NO_ANSWER, pid=1, now=float(age)) for age in range(0, 200, 2)}
    first = next(age for age, decision in decisions.items() if decision.restart)
    assert READY_SECONDS + HANG_SECONDS <= first <= READY_SECONDS + HANG_SECONDS + 4


def test_a_new_pid_clears_the_history(detector):
    detector.update(HEALTHY, pid=1, now=0.0)
    for second in range(1, 15):
        detector.update(NO_ANSWER, pid=1, now=float(second))
    ages = range(READY_SECONDS - 1)
    assert not any(detector.update(NO_ANSWER, pid=2, now=100.0 + age).restart for age in ages)


def test_an_unhealthy_state_and_the_recovery_are_logged_once(detector):
    detector.update(HEALTHY, pid=1, now=0.0)
    messages = [detector.update(WAITING, pid=1, now=float(s)).message for s in range(1, 20)]
    (message,) = filter(None, messages)
    assert WAITING.detail in message
    assert [bool(detector.update(HEALTHY, pid=1, now=20.0 + s).message) for s in (0, 1)] == [True, False]
