"""The backlog of `score` in the demo: numbers, estimate, display and deadline."""

import asyncio
import io
import re

import pytest
from aiokafka.errors import KafkaConnectionError
from rich.console import Console

from weir.demo.backlog import LIMIT_SECONDS, LONGEST_SECONDS, Backlog, BacklogView, Deadline, Position, follow_backlog
from weir.demo.run import _progress


def backlog(read, unread, *, seconds, first=0, advanced=100.0):
    last = Position(read, unread)
    return Backlog(first=Position(first, 0), began=100.0, last=last, advanced=advanced, now=100.0 + seconds)


def numbers(text):
    return [int(word.replace(",", "")) for word in re.findall(r"\d[\d,]*", text)]


@pytest.mark.parametrize(
    ("known", "seconds"),
    [
        (backlog(300, 1_200, seconds=10), 40),
        (backlog(5_300, 1_200, seconds=10, first=5_000), 40),  # records read before the demo do not count
        (backlog(300, 0, seconds=10), 0),
        (backlog(0, 1_200, seconds=10), None),  # nothing is committed yet
        (backlog(300, 1_200, seconds=0), None),
        (backlog(10, 1_200, seconds=10, first=40), None),  # the group's offsets were reset
    ],
)
def test_the_remaining_time_is_at_the_rate_since_the_start(known, seconds):
    assert known.seconds_left == seconds
    assert numbers(str(known)) == [known.last.unread] + ([] if seconds is None else [seconds])


class Clock:
    """A clock that advances with each sleep; the last sleep is cancelled."""

    def __init__(self, sleeps: int) -> None:
        self.now = 0.0
        self._left = sleeps

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._left -= 1
        if not self._left:
            raise asyncio.CancelledError


async def followed(*found):
    """Return the (time, backlog) pairs that are shown if Kafka answers with `found`."""
    answers, clock, shown = iter(found), Clock(len(found)), []

    async def position():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return Position(*answer)

    with pytest.raises(asyncio.CancelledError):
        await follow_backlog(
            position, lambda one: shown.append((clock.now, one)), clock=lambda: clock.now, sleep=clock.sleep
        )
    return shown


async def test_a_backlog_is_polled_at_an_interval_and_an_unreachable_kafka_is_waited_for():
    shown = await followed((1_000, 600), (1_100, 550), KafkaConnectionError(), TimeoutError(), (1_400, 400))
    (_, first), (second_at, second), (third_at, third) = shown
    assert third_at == 4 * second_at > 0
    assert first.seconds_left is None
    assert second.seconds_left == 550 / 100 * second_at
    assert third.seconds_left == 400 / 400 * third_at
    assert {one.first for _, one in shown} == {Position(1_000, 600)}
    assert [one.advanced for _, one in shown] == [0.0, second_at, third_at]


async def test_the_estimate_ignores_the_growth_of_the_log():
    *_, (at, last) = await followed((0, 500), (100, 500), (200, 500))
    assert last.seconds_left == 500 / 200 * at


def test_on_a_terminal_the_row_has_the_newest_numbers_and_disappears():
    lines, terminal = [], Console(file=io.StringIO(), force_terminal=True, width=120)
    with _progress(terminal) as progress:
        view = BacklogView(progress, lines.append)
        view.show(backlog(0, 1_200, seconds=0))
        view.show(backlog(300, 900, seconds=10))
        (row,) = progress.tasks
        assert row.visible
        assert numbers(row.description) == [900, 30]
        assert (row.completed, row.total) == (300, 1_200)
        view.show(backlog(1_200, 3, seconds=40))
        assert not row.visible
        view.show(backlog(1_200, 700, seconds=50))
        assert row.visible
        view.hide()
        assert not row.visible
    assert not lines


def test_in_a_pipe_each_backlog_is_a_line():
    lines, pipe = [], Console(file=io.StringIO(), width=120)
    with _progress(pipe) as progress:
        view = BacklogView(progress, lines.append)
        for known in (backlog(0, 1_200, seconds=0), backlog(300, 900, seconds=10), backlog(1_200, 3, seconds=40)):
            view.show(known)
        view.hide()
    assert [numbers(line) for line in lines] == [[1_200], [900, 30]]
    assert not progress.tasks
    assert "\x1b" not in "".join(lines) + pipe.file.getvalue()


def waited(limit, *, read):
    """Return the seconds until a deadline passes, checked once per second; `read(second)` is score's position."""
    deadline, advanced, before = Deadline(0.0), 0.0, read(0)
    for second in range(1, int(limit) + 2):
        if read(second) > before:
            advanced, before = float(second), read(second)
        if deadline.passed(float(second), backlog(before, 1_000, seconds=second, advanced=advanced)):
            return second
    return None


@pytest.mark.parametrize(
    ("read", "least", "most"),
    [
        (lambda _second: 0, LIMIT_SECONDS, LIMIT_SECONDS + 61),  # stalled: the time counts after 60 s without a commit
        (lambda second: second // 10, LONGEST_SECONDS, LONGEST_SECONDS + 1),  # a commit each second
        (lambda second: min(second, 300), 300 + LIMIT_SECONDS, 300 + LIMIT_SECONDS + 61),
    ],
    ids=["stalled", "progress", "stalled after 300 s"],
)
def test_the_deadline_does_not_count_progress_on_a_backlog_up_to_a_limit(read, least, most):
    assert least < waited(2 * LONGEST_SECONDS, read=read) <= most


def test_without_a_backlog_the_deadline_is_the_limit():
    deadline = Deadline(0.0)
    assert not deadline.passed(LIMIT_SECONDS, None)
    assert deadline.passed(LIMIT_SECONDS + 1, backlog(5, 3, seconds=1, advanced=LIMIT_SECONDS))
