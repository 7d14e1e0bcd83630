"""Limits repeated messages of a log, such as those of each retry during an outage."""

import logging

_REPEAT_SECONDS = 10.0
#: Maximum number of messages that are remembered; the next message clears them, which needs no lock between threads.
_REMEMBERED = 1000
_BY_TEMPLATE = {"aiokafka", "stream.dead_letters", "stream.bridge.alert_reader"}


class RepeatFilter(logging.Filter):
    """Passes each message without a traceback at most once in 10 s; appends the number of dropped duplicates to the next message.

    Duplicates have the same logger, level and text. For these loggers, the arguments can differ, and there can be a traceback: aiokafka, which
    logs ten messages a second while Kafka does not answer, and the modules that log each unreadable record of a topic (`weir dlq list` has all).
    """

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write `record`."""
        by_template = record.name in _BY_TEMPLATE or record.name.startswith("aiokafka.")
        if record.exc_info and not by_template:
            return True
        text = str(record.msg) if by_template else _text(record)
        key = (record.name, record.levelno, text)
        since, dropped = self._passed.get(key, (float("-inf"), 0))
        if since <= record.created < since + _REPEAT_SECONDS:
            self._passed[key] = (since, dropped + 1)
            return False
        if len(self._passed) >= _REMEMBERED:
            self._passed.clear()
        self._passed[key] = (record.created, 0)
        if dropped:
            record.msg = f"{record.msg} ({dropped} more like it in {record.created - since:.0f} s)"
        return True


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # the arguments do not fit the template, which the handler reports
        return str(record.msg)
