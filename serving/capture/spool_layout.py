"""The layout of the spool's root, and who may write in it.

::

    $WEIR_HOME/spool/
        <source>/            one gateway process
            lock             flock held while its writer lives; whoever gets it may end the spool
            gap              the open gap (serving/capture/gap.py)
            cursor           how far the shipper is (serving/capture/cursor.py)
            000000000000.seg segments
        aside/               records that are too large to be sent, newest 100
        totals.json          sums of the spools that were delivered whole and removed
        shipper.lock         flock of the node's one shipper
        shipper.json         what the shipper last said of Kafka
"""

import contextlib
import os
import secrets
from pathlib import Path

from serving.errors import SpoolUnavailable
from stream.files import FileLock, sync_directory

__all__ = ["ASIDE", "LOCK_FILE", "create_source", "source_directories"]

LOCK_FILE = "lock"
ASIDE = "aside"
_NEW = ".new-"


def create_source(root: Path, prefix: str = "gateway") -> tuple[str, Path, FileLock]:
    """Make a spool of a new source: its name, its directory, its lock.

    The directory gets its name when the lock is already held, so that no shipper can take a new spool for an orphan.

    Raises
    ------
    SpoolUnavailable
        The directory cannot be made.
    """
    source = f"{prefix}-{secrets.token_hex(8)}"
    made = root / f"{_NEW}{source}"
    try:
        made.mkdir(mode=0o700, parents=True)
        lock = FileLock.try_acquire(made / LOCK_FILE)
        if lock is None:
            raise SpoolUnavailable(f"{made / LOCK_FILE} is held by another process; nobody else may use {root}")
        made.rename(root / source)
        sync_directory(root)
    except OSError as error:
        raise SpoolUnavailable(
            f"the spool {root} cannot be made: {error.strerror}; set WEIR_HOME to a folder that can be written"
        ) from error
    return source, root / source, lock


def source_directories(root: Path) -> dict[str, Path]:
    """Return {source: directory} of every spool under `root`."""
    found: dict[str, Path] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name != ASIDE and not entry.name.startswith("."):
                found[entry.name] = root / entry.name
    return found
