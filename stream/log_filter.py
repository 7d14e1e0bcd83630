"""Limits repeated messages of a log, such as those of each retry during an outage."""

import logging

_REPEAT_SECONDS = 10.0
#: Maximum number of messages that are remembered; the next message clears them, which needs no lock between threads.
_REMEMBERED = 1000


class RepeatFilter(logging.Filter):
    """Passes each message at most once in 10 s; appends the number of dropped duplicates to the next message.

    Duplicates have the same logger, level, template and arguments. For aiokafka, which logs ten messages a second while Kafka does not answer, the
    arguments can differ.
    """

    def __init__(self) -> None:
        super().__init__("aiokafka")
        self._passed: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write `record`."""
        text = str(record.msg) if super().filter(record) else f"{record.msg} {record.args}"
        key = (record.name, record.levelno, text)
        since, dropped = self._passed.get(key, (float("-inf"), 0))
        if record.created < since + _REPEAT_SECONDS:
            self._passed[key] = (since, dropped + 1)
            return False
        if len(self._passed) >= _REMEMBERED:
            self._passed.clear()
        self._passed[key] = (record.created, 0)
        if dropped:
            record.msg = f"{record.msg} ({dropped} more like it in {record.created - since:.0f} s)"
        return True
