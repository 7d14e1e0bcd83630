"""The end of a spool: its last record number and its count of shed (dropped) records, read from the last segment."""

import contextlib
import os
from pathlib import Path

import msgspec

from serving.capture.segment import Frame, Kind, head_of, parse, record_of, resync, segment_path, segments
from stream.wire import GapRecord, Tick

_CHUNK_BYTES = 4 * 1024 * 1024
_GAP = msgspec.json.Decoder(GapRecord)
_TICK = msgspec.json.Decoder(Tick)


def gap_count(frame: Frame) -> int:
    """Return the number of dropped records that a GAP frame counts."""
    return _GAP.decode(record_of(frame).value).count


class SpoolTail:
    """Follows the end of one spool; each :meth:`advance` reads only new frames.

    `number` is the number of the last valid frame, `shed` the number of records dropped up to this frame, and `bytes` the size of all segments.
    `used` is the share of the spool's limit by its last tick, with the space reserved for the ends of open requests; 0 if the spool is closed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segment = -1
        self._offset = 0
        self.number = self.shed = self.bytes = 0
        self.used = 0.0

    def advance(self) -> None:
        """Read the new frames; raises FileNotFoundError if the spool was removed."""
        indexes = segments(self._directory)
        if not indexes:
            raise FileNotFoundError(self._directory)
        self.bytes = _total_size(self._directory, indexes)
        for index in reversed(indexes):
            if self._follow(index):
                return

    def _follow(self, index: int) -> bool:
        """Read the new frames of segment `index`; return False if it has no valid frame yet."""
        before = self._segment, self._offset
        if index != self._segment:
            self._segment, self._offset = index, 0
        found = False
        with contextlib.suppress(FileNotFoundError):  # unlinked in the meantime
            while self._read_chunk():
                found = True
        if not found and index != before[0]:
            self._segment, self._offset = before
            return False
        return True

    def _read_chunk(self) -> bool:
        data = _read_at(segment_path(self._directory, self._segment), self._offset)
        frames, damaged = parse(data, self._offset)
        for frame in frames:
            self._apply(frame)
        if not frames and damaged and (found := resync(data)) is not None:
            self._offset += found
            return True
        return bool(frames)

    def _apply(self, frame: Frame) -> None:
        if frame.kind == Kind.HEAD:
            self.shed = head_of(frame).shed
        elif frame.kind == Kind.GAP:
            self.shed += gap_count(frame)
        elif frame.kind == Kind.TICK:
            self.used = _TICK.decode(record_of(frame).value).spool
        elif frame.kind == Kind.CLOSED:
            self.used = 0.0
        self.number, self._offset = frame.number, frame.end


def oldest_time(directory: Path, segment: int, offset: int) -> float | None:
    """Return the time (epoch seconds) of the first numbered frame at or after a position in the spool, or None."""
    for index in segments(directory):
        if index < segment:
            continue
        data = _read_at(segment_path(directory, index), offset if index == segment else 0)
        frames, _ = parse(data)
        found = next((frame for frame in frames if frame.kind in {Kind.REQUEST, Kind.END, Kind.GAP}), None)
        if found is not None:
            return found.time / 1e6
    return None


def _read_at(path: Path, offset: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(handle, _CHUNK_BYTES, offset)
    finally:
        os.close(handle)


def _total_size(directory: Path, indexes: list[int]) -> int:
    total = 0
    for index in indexes:
        with contextlib.suppress(FileNotFoundError):
            total += segment_path(directory, index).stat().st_size
    return total
