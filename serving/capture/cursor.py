"""How far a spool has been delivered, and the sums of the spools that are gone; both replaced atomically.

Order (faults.md, spool facts): produce with ``acks=all``, write the cursor, sync it, only then unlink what is behind it.
"""

import os
from pathlib import Path

import msgspec

from serving.capture.journal import sync_directory

__all__ = ["Cursor", "Totals", "load_cursor", "load_totals", "replace_file", "save_cursor", "save_totals"]

_CURSOR_FILE = "cursor.json"
_TOTALS_FILE = "totals.json"


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a spool: everything before it has been delivered.

    Parameters
    ----------
    segment, offset
        Of the next frame.
    number
        The last number before it.
    shed
        How many of the numbers before it are in gap records of the spool.
    moved
        How many before it the shipper itself counted in gap records: too large for the broker, or damaged on the disk.
    closed
        Whether the source has ended before it: nothing follows.
    """

    segment: int = 0
    offset: int = 0
    number: int = 0
    shed: int = 0
    moved: int = 0
    closed: bool = False

    @property
    def delivered(self) -> int:
        """Requests and ends that Kafka has acknowledged."""
        return self.number - self.shed - self.moved


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over removed spools; a spool in `folded` is counted here and no longer by its directory."""

    accepted: int = 0
    delivered: int = 0
    shed: int = 0
    folded: tuple[str, ...] = ()


def load_cursor(directory: Path) -> Cursor:
    """Return the cursor of the spool in `directory`; the start where none was written."""
    try:
        return msgspec.json.decode((directory / _CURSOR_FILE).read_bytes(), type=Cursor)
    except FileNotFoundError:
        return Cursor()


def save_cursor(directory: Path, cursor: Cursor) -> None:
    """Write `cursor`, durably, whole or not at all."""
    replace_file(directory / _CURSOR_FILE, msgspec.json.encode(cursor))


def load_totals(root: Path) -> Totals:
    """Return the sums over the spools that are gone."""
    try:
        return msgspec.json.decode((root / _TOTALS_FILE).read_bytes(), type=Totals)
    except FileNotFoundError:
        return Totals()


def save_totals(root: Path, totals: Totals) -> None:
    """Write `totals`, durably, whole or not at all."""
    replace_file(root / _TOTALS_FILE, msgspec.json.encode(totals))


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` atomically; with `durable`, power loss leaves the old content or the new."""
    beside = path.with_name(f".{path.name}.tmp")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, content)
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)
    beside.replace(path)
    if durable:
        sync_directory(path.parent)
