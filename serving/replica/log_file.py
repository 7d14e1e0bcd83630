"""The log of gateways and model replicas."""

import logging
import sys
import time
from logging.handlers import WatchedFileHandler
from pathlib import Path

from stream.log_filter import RepeatFilter

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"


def log_to(folder: Path) -> None:
    """Log to serve.log in `folder`, or to stderr without the folder, with times in UTC; log records contain ids, never prompts or answers.

    Ray Serve replaces `sys.stderr` with a logger that writes its file only after 1,000 records. `sys.__stderr__` is unchanged.
    """
    handler = WatchedFileHandler(folder / "serve.log") if folder.is_dir() else logging.StreamHandler(sys.__stderr__)
    handler.addFilter(RepeatFilter())
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else it logs a line for each request to an upstream server
