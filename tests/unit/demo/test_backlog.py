"""The backlog of `score` in the demo: numbers, display and deadline."""

import asyncio
import io
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError
from rich.console import Console

from stream.settings import KafkaSettings
from weir.demo.backlog import LIMIT_SECONDS, LONGEST_SECONDS, Backlog, Deadline, Position
from weir.demo.run import _progress


def backlog_on(console):
    lines = []
    return Backlog(_progress(console), lines.append), lines


async def test_the_position_is_read_at_an_interval_and_an_unreachable_kafka_is_waited_for(monkeypatch):
    answers = iter([Position(1_000, 600), KafkaConnectionError(), TimeoutError(), Position(1_400, 400)])
    slept = []

    async def position(_kafka):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 4:
            raise asyncio.CancelledError

    times = iter([100.0, 110.0])
    monkeypatch.setattr("weir.demo.backlog.score_position", position)
    monkeypatch.setattr("weir.demo.backlog.time", SimpleNamespace(monotonic=lambda: next(times)))
    monkeypatch.setattr("weir.demo.backlog.asyncio.sleep", sleep)
    backlog, lines = backlog_on(Console(file=io.StringIO()))
    with pytest.raises(asyncio.CancelledError):
        await backlog.follow(KafkaSettings())
    assert lines == ["score: 600 records to read", "score: 400 records to read, ~10 s"]
    assert min(slept) > 0


def test_on_a_terminal_the_row_has_the_newest_numbers_and_disappears():
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    backlog, lines = backlog_on(terminal)
    (row,) = backlog._progress.tasks
    backlog.show(Position(5_000, 1_200), 100.0)
    backlog.show(Position(5_300, 900), 110.0)
    assert row.visible
    assert row.description == "score: 900 records to read, ~30 s"
    assert (row.completed, row.total) == (300, 1_200)  # records read before the demo do not count
    backlog.show(Position(4_000, 900), 120.0)  # the group's offsets were reset
    assert row.completed == 0
    backlog.show(Position(6_200, 3), 140.0)
    assert not row.visible
    assert not str(backlog)
    backlog.show(Position(6_200, 700), 150.0)
    assert row.visible
    backlog.hide()
    assert not row.visible
    assert not lines


def test_in_a_pipe_each_backlog_is_a_line():
    pipe = Console(file=io.StringIO(), width=120)
    backlog, lines = backlog_on(pipe)
    with backlog._progress:
        for position, now in ((Position(0, 1_200), 100.0), (Position(300, 900), 110.0), (Position(1_200, 3), 120.0)):
            backlog.show(position, now)
        backlog.hide()
    assert lines == ["score: 1,200 records to read", "score: 900 records to read, ~30 s"]
    assert not pipe.file.getvalue().strip()


def waited(limit, *, read):
    """Return the seconds until a deadline passes, checked once per second; `read(second)` is score's position."""
    deadline, (backlog, _) = Deadline(0.0), backlog_on(Console(file=io.StringIO()))
    for second in range(int(limit) + 2):
        backlog.show(Position(read(second), 1_000), float(second))
        if deadline.passed(float(second), backlog):
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
    deadline, (backlog, _) = Deadline(0.0), backlog_on(Console(file=io.StringIO()))
    assert not deadline.passed(LIMIT_SECONDS, backlog)
    backlog.show(Position(5, 3), LIMIT_SECONDS)
    assert deadline.passed(LIMIT_SECONDS + 1, backlog)
