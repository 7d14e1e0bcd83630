"""The cursor of a spool (the position up to which it has been delivered), and the totals of removed spools.

The shipper sends with ``acks=all``, writes and syncs the cursor, and then unlinks the segments before the cursor. The cursor's space is
allocated with the spool, and the cursor is written in place, so that the shipper can write the cursor on a full disk too.

::

    slot    CRC-32 (4), sequence (8), length (2), JSON      two slots of 512 bytes, written in turn: if one is damaged, the other is read
"""

import os
import struct
import zlib
from pathlib import Path

import msgspec

from stream.files import sync_directory

CURSOR_FILE = "cursor"
_SLOT_BYTES = 512
_SLOT = struct.Struct("<IQH")
_BODY = struct.Struct("<QH")
TOTALS_FILE = "totals.json"


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A position in a spool: all frames before the position have been delivered.

    The next frame is at `segment`, `offset`. The records before the position have the numbers 1 to `number`. Of these
    records, `shed` records were dropped by the gateway and are counted in gap records of the spool. `moved` records
    were too large or damaged on disk and are counted in gap records of the shipper. `closed` means that the position is
    after the ``closed`` record that ends a spool.
    """

    segment: int = 0
    offset: int = 0
    number: int = 0
    shed: int = 0
    moved: int = 0
    closed: bool = False

    @property
    def delivered(self) -> int:
        """Number of request and end records that Kafka has acknowledged."""
        return self.number - self.shed - self.moved


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of the counts of removed spools; `folded` lists summed spools whose directory may still exist."""

    accepted: int = 0
    delivered: int = 0
    shed: int = 0
    folded: tuple[str, ...] = ()


def load_cursor(directory: Path) -> Cursor:
    """Return the cursor of the spool in `directory`, or the start of the spool if no cursor was written."""
    try:
        _, cursor = _newest((directory / CURSOR_FILE).read_bytes())
    except FileNotFoundError:
        return Cursor()
    return cursor or Cursor()


def reserve_cursor(directory: Path) -> None:
    """Allocate disk space for the cursor of the spool in `directory`; raises OSError."""
    os.close(_open_cursor(directory))


def save_cursor(directory: Path, cursor: Cursor) -> None:
    """Write `cursor` durably and atomically; after :func:`reserve_cursor` this works on a full disk too."""
    handle = _open_cursor(directory)
    try:
        sequence, _ = _newest(os.pread(handle, 2 * _SLOT_BYTES, 0))
        content = msgspec.json.encode(cursor)
        body = _BODY.pack(sequence + 1, len(content)) + content
        slot = struct.pack("<I", zlib.crc32(body)) + body
        os.pwrite(handle, slot.ljust(_SLOT_BYTES, b"\0"), (sequence + 1) % 2 * _SLOT_BYTES)
        os.fdatasync(handle)
    finally:
        os.close(handle)


def _open_cursor(directory: Path) -> int:
    path = directory / CURSOR_FILE
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(handle).st_size < 2 * _SLOT_BYTES:
            os.posix_fallocate(handle, 0, 2 * _SLOT_BYTES)
            os.fsync(handle)
            sync_directory(directory)
    except OSError:
        os.close(handle)
        raise
    return handle


def _newest(data: bytes) -> tuple[int, Cursor | None]:
    """Return the sequence and the cursor of the newest valid slot, or 0 and None if no slot is valid."""
    sequence, cursor = 0, None
    for at in range(0, len(data) - _SLOT.size, _SLOT_BYTES):
        crc, number, length = _SLOT.unpack_from(data, at)
        body = data[at + 4 : at + _SLOT.size + length]
        if number > sequence and zlib.crc32(body) == crc:
            sequence, cursor = number, msgspec.json.decode(body[_BODY.size :], type=Cursor)
    return sequence, cursor


def load_totals(root: Path) -> Totals:
    """Return the totals of removed spools."""
    try:
        return msgspec.json.decode((root / TOTALS_FILE).read_bytes(), type=Totals)
    except FileNotFoundError:
        return Totals()
