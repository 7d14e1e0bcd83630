import json
import logging
import time

import pytest

from serving.replica.log_file import log_to
from stream.log_filter import RepeatFilter
from weir.component.logs import log_to_stderr
from weir.local.health import watcher


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


@pytest.fixture
def no_handlers():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


def test_the_logs_of_components_and_of_serving_drop_duplicates(no_handlers, tmp_path, capsys):
    log_to_stderr()
    for _ in range(3):
        logging.getLogger("weir").warning("retrying")
    assert capsys.readouterr().err.count("retrying") == 1
    log_to(tmp_path)
    for _ in range(3):
        logging.getLogger("weir").warning("retrying")
    assert (tmp_path / "serve.log").read_text().count("retrying") == 1


@pytest.fixture
def zone(monkeypatch):
    """A time zone of the machine that is not UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        yield
    time.tzset()


def test_the_times_in_all_logs_are_utc_and_say_so(no_handlers, zone, tmp_path, capsys):
    """Every time that `weir` prints is UTC, and a local time is ambiguous in the hour in which summer time ends."""
    message, at = (
        logging.getLogger("weir").makeRecord("weir", logging.INFO, "", 1, "started", (), None),
        1_764_547_200.25,
    )
    message.created, message.msecs = at, 250.0
    log_to_stderr()
    logging.getLogger("weir").handle(message)
    assert json.loads(capsys.readouterr().err)["time"] == "2025-12-01T00:00:00.250Z"
    log_to(tmp_path)
    logging.getLogger("weir").handle(message)
    assert (tmp_path / "serve.log").read_text() == "2025-12-01T00:00:00.250Z INFO weir started\n"
    watcher.log("score was started again", lambda: at)
    assert capsys.readouterr().out == "2025-12-01T00:00:00Z score was started again\n"
