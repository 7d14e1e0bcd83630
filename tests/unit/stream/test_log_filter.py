import logging

import pytest

from stream.log_filter import RepeatFilter


@pytest.fixture
def log():
    return RepeatFilter()


def said(log, name, text, *arguments, at):
    """Return the line that is logged for a message, or None if the message is suppressed."""
    record = logging.LogRecord(name, logging.ERROR, __file__, 1, text, arguments, None)
    record.created = at
    return record.getMessage() if log.filter(record) else None


def test_repeated_messages_of_a_library_are_logged_once_per_10_seconds(log):
    lines = [said(log, "aiokafka.conn", "no connection to %s", f"port {n}", at=100.0 + n / 10) for n in range(201)]
    assert {place: line for place, line in enumerate(lines) if line is not None} == {
        0: "no connection to port 0",
        100: "no connection to port 100 (99 more like it in 10 s)",
        200: "no connection to port 200 (99 more like it in 10 s)",
    }


@pytest.mark.parametrize("name", ["stream.dead_letters", "stream.bridge.alert_reader"])
def test_a_topic_full_of_unreadable_records_gives_one_line_per_10_seconds(log, name):
    lines = [said(log, name, "offset %d is skipped", n, at=100.0 + n / 100) for n in range(1001)]
    assert [line for line in lines if line] == [
        "offset 0 is skipped",
        "offset 1000 is skipped (999 more like it in 10 s)",
    ]


def test_another_message_or_logger_of_the_library_is_logged(log):
    assert said(log, "aiokafka", "one", at=1.0) == "one"
    assert said(log, "aiokafka", "two", at=1.0) == "two"
    assert said(log, "aiokafka.client", "one", at=1.0) == "one"
    assert said(log, "aiokafka", "one", at=11.0) == "one", "no message was suppressed, so the line has no count"


@pytest.mark.parametrize("name", ["serving.capture.shipper", "faust", "aiokafkaesque"])
def test_a_message_of_another_logger_is_a_duplicate_only_with_equal_arguments(log, name):
    """A shipper retries twice a second while the disk is full, and a gateway logs each request that another server rejects."""
    lines = [said(log, name, "%s: retrying: %s", "gateway-1", "disk full", at=100.0 + n / 2) for n in range(21)]
    assert {place: line for place, line in enumerate(lines) if line is not None} == {
        0: "gateway-1: retrying: disk full",
        20: "gateway-1: retrying: disk full (19 more like it in 10 s)",
    }
    assert said(log, name, "%s: retrying: %s", "gateway-2", "disk full", at=110.0) == "gateway-2: retrying: disk full"


def test_each_traceback_is_logged_because_equal_messages_can_have_different_causes(log):
    for error in (KeyError("a"), OSError(28, "No space left on device")):
        record = logging.LogRecord(
            "uvicorn.error", logging.ERROR, __file__, 1, "Exception in ASGI application", (), None
        )
        record.exc_info = (type(error), error, None)
        assert log.filter(record)


def test_a_message_is_logged_after_the_clock_was_set_back(log):
    assert said(log, "weir", "retrying", at=4000.0) == "retrying"
    assert said(log, "weir", "retrying", at=700.0) == "retrying"


def test_the_number_of_remembered_messages_has_a_limit(log):
    for number in range(1001):
        assert said(log, "weir", "request %s", number, at=1.0) is not None
    assert said(log, "weir", "request %s", 1000, at=1.0) is None
    assert said(log, "weir", "request %s", 0, at=1.0) is not None, "the first 1,000 messages were forgotten"


def test_a_message_with_wrong_arguments_reaches_the_handler(log):
    """Python's handler reports the wrong call; an exception in the filter would end the program that logs."""
    record = logging.LogRecord("library", logging.ERROR, __file__, 1, "%d records", ("many",), None)
    assert log.filter(record)
