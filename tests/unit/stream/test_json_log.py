import json
import logging
import sys
import time
from datetime import UTC, datetime

import pytest

from serving.replica.log_file import log_to
from stream.json_log import JsonFormatter, log_json
from weir.local.health import watcher


@pytest.fixture(autouse=True)
def no_handlers():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {
        name: logger.level for name, logger in logging.root.manager.loggerDict.items() if hasattr(logger, "level")
    }
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    for name, logger in logging.root.manager.loggerDict.items():
        if hasattr(logger, "level"):
            logger.setLevel(levels.get(name, logging.NOTSET))


@pytest.fixture(params=["component", "gateway"])
def started(request, tmp_path, capsys):
    """Start the log of a component or of a gateway; return a function that returns its lines so far."""

    def start():
        if request.param == "gateway":
            log_to(tmp_path)
            return lambda: (tmp_path / "serve.log").read_text().splitlines()
        log_json(logging.StreamHandler(sys.stderr))
        return lambda: [*capsys.readouterr().err.splitlines()]

    return start  # called by the test itself: pytest adds its own handlers after the fixtures


def test_a_line_is_a_json_object_and_its_time_has_a_zone(started):
    lines = started()
    before = datetime.now(UTC)
    logging.getLogger("weir").error("line 1\nline 2", exc_info=ValueError("seven"))
    (line,) = lines()
    entry = json.loads(line)
    assert abs(datetime.fromisoformat(entry.pop("time")) - before).total_seconds() < 60
    assert "ValueError: seven" in entry.pop("exception")
    assert entry == {"level": "error", "logger": "weir", "message": "line 1\nline 2"}


def test_the_times_are_utc_and_say_so(monkeypatch, capsys):
    """Every time that `weir` prints is UTC, and a local time is ambiguous in the hour in which summer time ends."""
    at = 1_764_547_200.25
    message = logging.LogRecord("weir", logging.INFO, "", 1, "started", (), None)
    message.created = at
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        assert json.loads(JsonFormatter().format(message))["time"] == "2025-12-01T00:00:00.250Z"
        watcher.log("score was started again", lambda: at)
    time.tzset()
    assert capsys.readouterr().out == "2025-12-01T00:00:00Z score was started again\n"


def test_a_log_drops_duplicates(started):
    lines = started()
    for _ in range(3):
        logging.getLogger("weir").warning("retrying")
    assert len(lines()) == 1


def test_libraries_log_neither_their_starts_nor_each_retry(started):
    lines = started()
    for name in ("httpx", "presidio-analyzer", "faust.worker", "mode.timers", "stream.runtime.app"):
        logging.getLogger(name).info("Starting...")
    for name in ("mode.timers", "opentelemetry.exporter.otlp.proto.http.trace_exporter"):
        logging.getLogger(name).warning("retrying in 1 s")
    assert lines() == []
