"""A component's log: JSON lines, in which a library that repeats itself is heard once in a while.

Why this exists: while Kafka is away aiokafka says so ten times a second, and what else is in the log drowns in it.
"""

import json
import logging
import sys

__all__ = ["JsonLog", "OnceInAWhile", "log_to_stderr"]

_LIBRARY = "aiokafka"
_SECONDS = 10.0


class JsonLog(logging.Formatter):
    """One JSON object a line: time, level, logger, message; never the text of a prompt."""

    def format(self, record: logging.LogRecord) -> str:
        """Format `record`."""
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class OnceInAWhile(logging.Filter):
    """Lets each message of one library through once in so many seconds, and then says how many were left out.

    Parameters
    ----------
    library
        The logger's name; those below it are meant too, and everybody else passes.
    seconds
        From one line to the next of the same logger, level and message, whatever its arguments.
    """

    def __init__(self, library: str = _LIBRARY, seconds: float = _SECONDS) -> None:
        super().__init__(library)
        self._seconds = seconds
        self._told: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` is to be written."""
        if not super().filter(record):
            return True
        key = (record.name, record.levelno, str(record.msg))
        since, left_out = self._told.get(key, (float("-inf"), 0))
        if record.created < since + self._seconds:
            self._told[key] = (since, left_out + 1)
            return False
        self._told[key] = (record.created, 0)
        if left_out:
            record.msg, record.args = (
                f"{record.getMessage()} ({left_out} more like it in {record.created - since:.0f} s)",
                (),
            )
        return True


def log_to_stderr() -> None:
    """Have this process write its log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLog())
    handler.addFilter(OnceInAWhile())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(
        logging.WARNING
    )  # it writes each address that is asked; a webhook's may hold a token
