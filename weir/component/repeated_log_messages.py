"""Drop repeated log messages of aiokafka, which logs ten messages a second while Kafka does not answer."""

import logging

__all__ = ["RepeatFilter"]

_LIBRARY = "aiokafka"
_REPEAT_SECONDS = 10.0


class RepeatFilter(logging.Filter):
    """Passes each message of a library's loggers at most once per `seconds`; appends the number of dropped duplicates to the next message.

    Duplicates have the same logger, level and message template; their arguments can differ.
    """

    def __init__(self, library: str = _LIBRARY, seconds: float = _REPEAT_SECONDS) -> None:
        super().__init__(library)
        self._seconds = seconds
        self._passed: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write `record`."""
        if not super().filter(record):
            return True
        key = (record.name, record.levelno, str(record.msg))
        since, dropped = self._passed.get(key, (float("-inf"), 0))
        if record.created < since + self._seconds:
            self._passed[key] = (since, dropped + 1)
            return False
        self._passed[key] = (record.created, 0)
        if dropped:
            repeats = f"({dropped} more like it in {record.created - since:.0f} s)"
            record.msg, record.args = f"{record.getMessage()} {repeats}", ()
        return True
