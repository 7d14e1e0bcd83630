"""Log of a component: JSON lines on stderr, without the repeated messages of aiokafka (ten a second while Kafka does not answer)."""

import json
import logging
import sys

_REPEAT_SECONDS = 10.0


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message; never the text of a prompt."""

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


class RepeatFilter(logging.Filter):
    """Passes each message of aiokafka's loggers at most once in 10 s; appends the number of dropped duplicates to the next message.

    Duplicates have the same logger, level and message template; their arguments can differ.
    """

    def __init__(self) -> None:
        super().__init__("aiokafka")
        self._passed: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write `record`."""
        if not super().filter(record):
            return True
        key = (record.name, record.levelno, str(record.msg))
        since, dropped = self._passed.get(key, (float("-inf"), 0))
        if record.created < since + _REPEAT_SECONDS:
            self._passed[key] = (since, dropped + 1)
            return False
        self._passed[key] = (record.created, 0)
        if dropped:
            repeats = f"({dropped} more like it in {record.created - since:.0f} s)"
            record.msg, record.args = f"{record.getMessage()} {repeats}", ()
        return True


def log_to_stderr() -> None:
    """Write this process's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # httpx logs the address of each request; a webhook's may contain a token.
    logging.getLogger("httpx").setLevel(logging.WARNING)
