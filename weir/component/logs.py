"""Log of a component: JSON lines on stderr."""

import json
import logging
import sys
from datetime import UTC, datetime

from stream.log_filter import RepeatFilter


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time in UTC, level, logger, message; never the text of a prompt."""

    def format(self, record: logging.LogRecord) -> str:
        """Format `record`."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def log_to_stderr() -> None:
    """Write this process's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # httpx logs the address of each request; a webhook's may contain a token.
    logging.getLogger("httpx").setLevel(logging.WARNING)
