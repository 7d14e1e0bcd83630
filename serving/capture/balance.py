"""The balance of capture: ``accepted = delivered + spooled + shed``.

All counts are computed from the files of the spools, not kept in memory, so a restart loses nothing.
"""

import threading
import time
from pathlib import Path

import msgspec

from serving.capture.delivery_cursor import Cursor, load_cursor, load_totals
from serving.capture.open_gap import read_gap
from serving.capture.spool_layout import source_directories
from serving.capture.spool_tail import SpoolTail, oldest_time

#: Attempts to read, because a spool can be added to the totals during a read.
_ATTEMPTS = 5


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of request and end records; ``accepted = delivered + spooled + shed``.

    `delivered` records were acknowledged by Kafka and are before the cursor on disk. `spooled` records are only on this
    disk. `shed` records were dropped and counted in gap records. `oldest_age_seconds` is the age of the oldest spooled
    record, or 0 if no record is spooled. `bytes` is the size of all segments, `fullest` the source of the fullest spool,
    and `fullest_bytes` its size. Each spool has its own size limit; a reader that has the limit adds to `fullest_bytes`
    the space that the spool reserves for the ends of open requests.
    """

    accepted: int = 0
    delivered: int = 0
    spooled: int = 0
    shed: int = 0
    oldest_age_seconds: float = 0.0
    bytes: int = 0
    fullest_bytes: int = 0
    fullest: str = ""


def read_balance(root: Path, limit_bytes: int = 0) -> Balance:
    """Return the balance of all spools under `root`, including removed spools. Reads the last segment of each spool."""
    return BalanceReader(root, limit_bytes).read()


class BalanceReader:
    """Reads the balance of ``$WEIR_HOME/spool``; each call reads only the frames appended since the last call.

    Several threads can call :meth:`read` at the same time.
    """

    def __init__(self, root: Path, limit_bytes: int = 0) -> None:
        self._root = root
        self._limit_bytes = limit_bytes
        self._sources: dict[str, SourceReader] = {}
        self._reading = threading.Lock()  # scrapes can overlap

    def read(self) -> Balance:
        """Return the balance now."""
        with self._reading:
            return self._read()

    def _read(self) -> Balance:
        for _ in range(_ATTEMPTS):
            totals = load_totals(self._root)
            live = {name: path for name, path in source_directories(self._root).items() if name not in totals.folded}
            found = {name: part for name, path in live.items() if (part := self._read_source(name, path)) is not None}
            if load_totals(self._root) == totals:
                break
        for name in self._sources.keys() - live.keys():
            del self._sources[name]
        parts = list(found.values())
        fullest = max(found, key=lambda name: found[name].fullest_bytes, default="")
        accepted = totals.accepted + sum(part.accepted for part in parts)
        delivered = totals.delivered + sum(part.delivered for part in parts)
        shed = totals.shed + sum(part.shed for part in parts)
        return Balance(
            accepted=accepted,
            delivered=delivered,
            spooled=accepted - delivered - shed,
            shed=shed,
            oldest_age_seconds=max((part.oldest_age_seconds for part in parts), default=0.0),
            bytes=sum(part.bytes for part in parts),
            fullest_bytes=found[fullest].fullest_bytes if fullest else 0,
            fullest=fullest,
        )

    def _read_source(self, name: str, path: Path) -> Balance | None:
        reader = self._sources.setdefault(name, SourceReader(path, self._limit_bytes))
        try:
            return reader.read()
        except FileNotFoundError:
            return None


class SourceReader:
    """Reads the balance of one spool from its cursor, its last frames and its open gap."""

    def __init__(self, directory: Path, limit_bytes: int = 0) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._tail = SpoolTail(directory)

    def read(self) -> Balance:
        """Return the balance now; raises FileNotFoundError if the spool was removed."""
        cursor = load_cursor(self._directory)  # before the segments: delivered must not exceed accepted
        self._tail.advance()
        gap = read_gap(self._directory, self._tail.number)
        accepted = max(gap.last, cursor.number)
        shed = self._tail.shed + gap.count + cursor.moved
        spooled = accepted - cursor.delivered - shed
        return Balance(
            accepted=accepted,
            delivered=cursor.delivered,
            spooled=spooled,
            shed=shed,
            oldest_age_seconds=_oldest_age(self._directory, cursor) if spooled else 0.0,
            bytes=self._tail.bytes,
            fullest_bytes=max(self._tail.bytes, round(self._tail.used * self._limit_bytes)),
        )


def _oldest_age(directory: Path, cursor: Cursor) -> float:
    oldest = oldest_time(directory, cursor.segment, cursor.offset)
    return max(0.0, time.time() - oldest) if oldest is not None else 0.0
