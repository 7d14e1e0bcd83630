"""Records that can never be sent: kept in files of their own for a person to look at, counted in a gap record."""

import contextlib
from pathlib import Path

from serving.capture.spool_layout import ASIDE

__all__ = ["MAX_RECORD_BYTES", "move_aside"]

#: aiokafka and the broker refuse about 1 MiB (faults.md 17); the shipper's own headers and the framing need the rest.
MAX_RECORD_BYTES = 1_000_000
_KEPT = 100


def move_aside(root: Path, source: str, number: int, frame: bytes) -> None:
    """Keep `frame` as ``aside/<source>-<number>.frame``; only the newest 100 stay. A full disk keeps none."""
    folder = root / ASIDE
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{source}-{number}.frame"
        path.touch(mode=0o600)
        path.write_bytes(frame)
        kept = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        for old in kept[:-_KEPT]:
            old.unlink(missing_ok=True)
