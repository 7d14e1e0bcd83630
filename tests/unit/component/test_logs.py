import logging

import pytest

from weir.component.logs import RepeatFilter


def said(log, name, text, *arguments, at):
    """Return what is written of a message, None where it is left out."""
    record = logging.LogRecord(name, logging.ERROR, __file__, 1, text, arguments, None)
    record.created = at
    return record.getMessage() if log.filter(record) else None


def test_a_library_that_repeats_itself_is_heard_once_in_a_while():
    log = RepeatFilter()
    lines = [said(log, "aiokafka.conn", "no connection to %s", f"port {n}", at=100.0 + n / 10) for n in range(201)]
    assert {place: line for place, line in enumerate(lines) if line is not None} == {
        0: "no connection to port 0",
        100: "no connection to port 100 (99 more like it in 10 s)",
        200: "no connection to port 200 (99 more like it in 10 s)",
    }


def test_another_message_level_or_logger_of_it_is_heard():
    log = RepeatFilter()
    assert said(log, "aiokafka", "one", at=1.0) == "one"
    assert said(log, "aiokafka", "two", at=1.0) == "two"
    assert said(log, "aiokafka.client", "one", at=1.0) == "one"
    assert said(log, "aiokafka", "one", at=11.0) == "one", "nothing was left out"


@pytest.mark.parametrize("name", ["stream.stages.score", "faust", "aiokafkaesque"])
def test_everybody_else_always_is(name):
    log = RepeatFilter()
    assert [said(log, name, "again", at=1.0) for _ in range(3)] == ["again"] * 3
