"""The files in the folder of all spools.

::

    $WEIR_HOME/spool/
        <source>/            one gateway process
            lock             flock of its writer; a process that acquires it may complete the spool
            gap              the open gap (open_gap.py)
            cursor           the shipper's position (delivery_cursor.py)
            000000000000.seg segments (segment.py)
        aside/               records that Kafka rejects; the newest are kept for an operator
        totals.json          totals of the spools that were delivered completely and removed
        shipper.lock         flock of the node's one shipper
        shipper.json         last status of the shipper: whether Kafka accepts records
"""

import contextlib
import os
import secrets
from pathlib import Path

from serving.errors import SpoolUnavailable
from stream.files import FileLock, sync_directory

LOCK_FILE = "lock"
#: aiokafka and the broker reject records from about 1 MiB; the difference is for headers and framing.
MAX_RECORD_BYTES = 1_000_000
ASIDE = "aside"
#: The second is a folder of root in the root of an ext4 disk, such as a volume that is mounted on the folder of all spools.
_NO_SPOOLS = {ASIDE, "lost+found"}
_NEW = ".new-"
#: Number of rejected records that are kept.
KEPT_RECORDS = 100


def create_source(root: Path, prefix: str = "gateway") -> tuple[str, Path, FileLock]:
    """Create a spool for a new source; return the source's name, the directory and its lock.

    The directory gets its final name after it is locked, so that no shipper completes the new spool. Raises SpoolUnavailable.
    """
    source = f"{prefix}-{secrets.token_hex(8)}"
    made = root / f"{_NEW}{source}"
    try:
        made.mkdir(mode=0o700, parents=True)
        lock = FileLock.try_acquire(made / LOCK_FILE)
        if lock is None:
            raise SpoolUnavailable(f"another process has locked {made / LOCK_FILE}; only one stack may use {root}")
        made.rename(root / source)
        sync_directory(root)
    except OSError as error:
        raise SpoolUnavailable(
            f"the spool {root} cannot be made: {error.strerror}; set WEIR_HOME to a writable folder"
        ) from error
    return source, root / source, lock


def source_directories(root: Path) -> dict[str, Path]:
    """Return {source: directory} of all spools under `root`."""
    found: dict[str, Path] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name not in _NO_SPOOLS and not entry.name.startswith("."):
                found[entry.name] = root / entry.name
    return found


def move_aside(root: Path, source: str, number: int, frame: bytes) -> None:
    """Store a rejected record as ``aside/<source>-<number>.frame``; if the disk is full, the record is not kept."""
    folder = root / ASIDE
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{source}-{number}.frame"
        path.touch(mode=0o600)
        path.write_bytes(frame)
        kept = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        for old in kept[:-KEPT_RECORDS]:
            old.unlink(missing_ok=True)
