"""The log of gateways and model replicas."""

import logging
import sys
from logging.handlers import WatchedFileHandler
from pathlib import Path

from stream.json_log import log_json


def log_to(folder: Path) -> None:
    """Log to serve.log in `folder`, or to stderr without the folder; log records contain ids, never prompts or answers.

    Ray Serve replaces `sys.stderr` with a logger that writes its file only after 1,000 records. `sys.__stderr__` is unchanged.
    """
    handler = WatchedFileHandler(folder / "serve.log") if folder.is_dir() else logging.StreamHandler(sys.__stderr__)
    log_json(handler)
