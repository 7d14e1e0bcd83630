"""The open gap: numbers of shed (dropped) records, kept on disk until a gap record can be appended to the spool.

Why this exists: if a gateway dies while its disk is full, the count of shed records must not be lost. The file is allocated with the spool,
and each shed number is written in place, which needs no free space.

::

    entry   CRC-32 (4), number (8), length of the id (1), request id        one after the other from offset 0
    reason  CRC-32 (4), first number (8), reason (8)                        before the tails, written once for a gap
    tail    CRC-32 (4), first number (8), last number (8)                   two slots at the end, written in turn

The numbers of the entries are consecutive; an entry with another number is left from an earlier gap and ends the list. When the space for
entries is used up, only the tail is updated: it has no ids. Numbers that the segments already contain do not belong to the gap. If the
reason could not be written, it is ``full``.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec

GAP_FILE = "gap"
SIZE_BYTES = 64 * 1024
#: Maximum size of a gap record in a segment, with a full list of ids.
GAP_RECORD_BYTES = SIZE_BYTES + 4096
MAX_ID_BYTES = 128

_ENTRY = struct.Struct("<QB")
_CRC = struct.Struct("<I")
_TAIL = struct.Struct("<QQ")
_TAIL_BYTES = _CRC.size + _TAIL.size
_TAILS_AT = SIZE_BYTES - 2 * _TAIL_BYTES
_REASON = struct.Struct("<Q8s")
_REASON_AT = _TAILS_AT - _CRC.size - _REASON.size


class OpenGap(msgspec.Struct):
    """The numbers `first` to `last` of shed (dropped) records, and as many request ids as fit; empty if `last` < `first`.

    `reason` is ``full``, ``disk`` or ``oversize``.
    """

    first: int = 1
    last: int = 0
    request_ids: list[str] = []
    reason: str = "full"

    @property
    def count(self) -> int:
        """Number of shed (dropped) records."""
        return self.last - self.first + 1


class GapFile:
    """Writes the open gap of the spool in `directory`; the constructor allocates the file and raises OSError."""

    def __init__(self, directory: Path) -> None:
        self._handle = os.open(directory / GAP_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._dirty = False
        try:
            os.posix_fallocate(self._handle, 0, SIZE_BYTES)
        except OSError:
            self.close()
            raise
        self._position = 0
        #: The last bytes of the entries, if their write failed. A reader stops at the first missing entry.
        self._unwritten = b""
        self._has_reason = False
        self._turn = 0
        self.gap = OpenGap()

    @property
    def full(self) -> bool:
        """Whether the file has no space for another id of maximum length."""
        return self._position + _CRC.size + _ENTRY.size + MAX_ID_BYTES > _REASON_AT

    def add(self, number: int, request_id: str, reason: str) -> None:
        """Add `number`, which follows the last number; the first `reason` is the reason of the gap.

        Raises OSError if the disk cannot be written in place; the next call also writes the missing numbers.
        """
        if not self.gap.count:
            self.gap.first, self.gap.reason = number, reason
        self.gap.last = number
        if self.full:
            self._write_tail()
            return
        name = request_id.encode()[:MAX_ID_BYTES]
        entry = _with_crc(_ENTRY.pack(number, len(name)) + name)
        self.gap.request_ids.append(request_id)
        self._unwritten += entry
        self._position += len(entry)
        written = self._write(self._unwritten, self._position - len(self._unwritten))
        self._unwritten = self._unwritten[written:]
        if not self._has_reason:
            reason_entry = _with_crc(_REASON.pack(self.gap.first, self.gap.reason.encode()))
            self._write(reason_entry, _REASON_AT)
            self._has_reason = True

    def clear(self) -> None:
        """Empty the gap; the caller must have appended a gap record with its numbers to the spool."""
        self.gap = OpenGap()
        self._position = 0
        self._unwritten = b""
        self._has_reason = False

    def sync(self) -> None:
        """Sync the shed numbers to disk; another thread can add numbers at the same time. Raises OSError."""
        if self._dirty:
            self._dirty = False
            try:
                os.fdatasync(self._handle)
            except OSError:
                self._dirty = True
                raise

    def close(self) -> None:
        """Sync the shed numbers to disk and close the file."""
        try:
            self.sync()
        finally:
            os.close(self._handle)

    def _write(self, data: bytes, position: int) -> int:
        written = os.pwrite(self._handle, data, position)
        self._dirty = True  # not before: a sync in another thread could clear it before the write
        return written

    def _write_tail(self) -> None:
        self._turn ^= 1
        tail = _with_crc(_TAIL.pack(self.gap.first, self.gap.last))
        self._write(tail, _TAILS_AT + self._turn * _TAIL_BYTES)


def read_gap(directory: Path, after: int) -> OpenGap:
    """Return the open gap that is stored in `directory`; `after` is the last number in the segments."""
    gap = OpenGap(after + 1, after, [])
    try:
        data = (directory / GAP_FILE).read_bytes()
    except FileNotFoundError:
        return gap
    _read_entries(data, gap)
    first, reason = _read(data, _REASON_AT, _REASON) or (0, b"")
    if first == gap.first:
        gap.reason = reason.rstrip(b"\0").decode()
    for turn in range(2):
        first, last = _read(data, _TAILS_AT + turn * _TAIL_BYTES, _TAIL) or (0, 0)
        if first == gap.first:
            gap.last = max(gap.last, last)
    return gap


def _read_entries(data: bytes, gap: OpenGap) -> None:
    position = 0
    while position + _CRC.size + _ENTRY.size <= len(data):
        (crc,) = _CRC.unpack_from(data, position)
        number, length = _ENTRY.unpack_from(data, position + _CRC.size)
        end = position + _CRC.size + _ENTRY.size + length
        if zlib.crc32(data[position + _CRC.size : end]) != crc or number != gap.last + 1:
            return
        gap.last = number
        gap.request_ids.append(data[end - length : end].decode("utf-8", "replace"))
        position = end


def _read(data: bytes, position: int, form: struct.Struct) -> tuple[Any, ...] | None:
    """Return the values of `form` behind a CRC-32 at `position`, or None if they are missing or damaged."""
    stored = data[position : position + _CRC.size + form.size]
    body = stored[_CRC.size :]
    return form.unpack(body) if len(body) == form.size and stored == _with_crc(body) else None


def _with_crc(body: bytes) -> bytes:
    return _CRC.pack(zlib.crc32(body)) + body
