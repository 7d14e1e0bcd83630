"""What the demo says of score's backlog: numbers and estimate, on a terminal and in a pipe."""

import asyncio
import io
import re

import pytest
from aiokafka.errors import KafkaConnectionError
from rich.console import Console

from weir.demo.backlog import Backlog, BacklogView, Position, follow_backlog
from weir.demo.run import _progress


def backlog(read, unread, *, seconds, first=0):
    return Backlog(first=Position(first, 0), began=100.0, last=Position(read, unread), now=100.0 + seconds)


def numbers(text):
    return [int(word.replace(",", "")) for word in re.findall(r"\d[\d,]*", text)]


@pytest.mark.parametrize(
    ("known", "seconds"),
    [
        (backlog(300, 1_200, seconds=10), 40),
        (backlog(5_300, 1_200, seconds=10, first=5_000), 40),  # what was read before the demo is no part of the rate
        (backlog(300, 0, seconds=10), 0),
        (backlog(0, 1_200, seconds=10), None),  # nothing is committed yet
        (backlog(300, 1_200, seconds=0), None),
        (backlog(10, 1_200, seconds=10, first=40), None),  # the group's offsets were set back
    ],
)
def test_the_time_left_is_at_the_rate_since_the_demo_began_to_watch(known, seconds):
    assert known.seconds_left == seconds
    assert numbers(str(known)) == [known.last.unread] + ([] if seconds is None else [seconds])


class Clock:
    """A clock that only sleeping moves; the last sleep is cancelled."""

    def __init__(self, sleeps: int) -> None:
        self.now = 0.0
        self._left = sleeps

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._left -= 1
        if not self._left:
            raise asyncio.CancelledError


async def followed(*found):
    """Return the (time, backlog) pairs shown while Kafka answers `found`, one at each look."""
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


async def test_a_backlog_is_followed_at_the_same_interval_and_kafkas_absence_is_waited_out():
    shown = await followed((1_000, 600), (1_100, 550), KafkaConnectionError(), TimeoutError(), (1_400, 400))
    (_, first), (second_at, second), (third_at, third) = shown
    assert third_at == 4 * second_at > 0
    assert first.seconds_left is None
    assert second.seconds_left == 550 / 100 * second_at
    assert third.seconds_left == 400 / 400 * third_at
    assert {one.first for _, one in shown} == {Position(1_000, 600)}


async def test_the_estimate_counts_what_score_reads_where_the_log_grows_as_fast():
    *_, (at, last) = await followed((0, 500), (100, 500), (200, 500))
    assert last.seconds_left == 500 / 200 * at


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


@pytest.fixture
def pipe():
    return Console(file=io.StringIO(), width=120)


def test_on_a_terminal_the_row_has_the_newest_numbers_and_disappears(terminal):
    lines = []
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


def test_in_a_pipe_each_look_at_a_backlog_is_a_plain_line(pipe):
    lines = []
    with _progress(pipe) as progress:
        view = BacklogView(progress, lines.append)
        for known in (backlog(0, 1_200, seconds=0), backlog(300, 900, seconds=10), backlog(1_200, 3, seconds=40)):
            view.show(known)
        view.hide()
    assert [numbers(line) for line in lines] == [[1_200], [900, 30]]
    assert not progress.tasks
    assert "\x1b" not in "".join(lines) + pipe.file.getvalue()
