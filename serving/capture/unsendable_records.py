"""Store the newest records that Kafka rejects, mostly because of their size, so that an operator can read them."""

import contextlib
from pathlib import Path

from serving.capture.spool_layout import ASIDE

__all__ = ["move_aside"]

#: Number of rejected records that are kept.
KEPT_RECORDS = 100


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
