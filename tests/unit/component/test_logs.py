import logging

import pytest

from weir.component.logs import RepeatFilter


def said(log, name, text, *arguments, at):
    """Return the line that is logged for a message, or None if the message is suppressed."""
    record = logging.LogRecord(name, logging.ERROR, __file__, 1, text, arguments, None)
    record.created = at
    return record.getMessage() if log.filter(record) else None


def test_repeated_messages_of_a_library_are_logged_once_per_10_seconds():
    log = RepeatFilter()
    lines = [said(log, "aiokafka.conn", "no connection to %s", f"port {n}", at=100.0 + n / 10) for n in range(201)]
    assert {place: line for place, line in enumerate(lines) if line is not None} == {
        0: "no connection to port 0",
        100: "no connection to port 100 (99 more like it in 10 s)",
        200: "no connection to port 200 (99 more like it in 10 s)",
    }


def test_another_message_or_logger_of_the_library_is_logged():
    log = RepeatFilter()
    assert said(log, "aiokafka", "one", at=1.0) == "one"
    assert said(log, "aiokafka", "two", at=1.0) == "two"
    assert said(log, "aiokafka.client", "one", at=1.0) == "one"
    assert said(log, "aiokafka", "one", at=11.0) == "one", "no message was suppressed, so the line has no count"


@pytest.mark.parametrize("name", ["stream.stages.score", "faust", "aiokafkaesque"])
def test_messages_of_other_loggers_are_always_logged(name):
    log = RepeatFilter()
    assert [said(log, name, "again", at=1.0) for _ in range(3)] == ["again"] * 3
