"""The log of every process of Weir: JSON lines, without the messages of libraries that need no attention."""

import json
import logging
from datetime import UTC, datetime

from stream.log_filter import RepeatFilter

#: The lowest level of a library's messages that are logged.
_LIBRARIES = {
    "httpx": logging.WARNING,  # a line for each request, with its address; a webhook's may contain a token
    "presidio-analyzer": logging.WARNING,  # a line for each of its patterns
    # Faust: a line for each part that starts, and tables of offsets.
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "mode.timers": logging.ERROR,  # on a busy machine, a warning for each timer that is late
    "stream.runtime": logging.WARNING,
    # A warning for each retry, also while a stack starts. If spans are lost, it logs an error.
    "opentelemetry.exporter.otlp.proto.http.trace_exporter": logging.ERROR,
}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time (UTC), level, logger, message; never the text of a prompt."""

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


def log_json(handler: logging.Handler) -> None:
    """Write this process's log to `handler`."""
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name, level in _LIBRARIES.items():
        logging.getLogger(name).setLevel(level)
