"""Read a spool in order, beginning at a cursor, while its writer appends frames and begins new segments."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from serving.capture.delivery_cursor import Cursor
from serving.capture.segment import Frame, Kind, frames_of, gap_of, head_of, parse, resync, segment_path, segments

_CHUNK_BYTES = 1024 * 1024
_GROWTH = 8


class Item(NamedTuple):
    """A frame and the position after it. A `rejected` frame is too large for the broker: a gap record is sent in its place.

    Directly before the frame, `missing` records are damaged on disk; `first_missing` is the number of the first damaged
    record.
    """

    frame: Frame
    cursor: Cursor
    first_missing: int
    missing: int
    rejected: bool


class SpoolReader:
    """Reads one spool from `cursor` on; `rejected` contains ``(segment, offset after the frame)`` of rejected frames.

    An incomplete frame at the end of the last segment is still being written. If a valid frame follows, in the same segment or in a later one,
    the incomplete frame is damaged. `caught_up` is whether the last read reached the end of a segment. Memory: one chunk (1 MiB, more
    for a longer frame).
    """

    def __init__(self, directory: Path, cursor: Cursor, rejected: frozenset[tuple[int, int]] = frozenset()) -> None:
        self._directory = directory
        self._rejected = rejected
        self._chunk = _CHUNK_BYTES
        self._handle = -1
        self.cursor = cursor
        self.caught_up = True

    def read(self) -> list[Item]:
        """Return the next frames that are complete within one chunk of the segment, or [] if there are no new frames."""
        while True:
            if self._handle < 0 and not self._open():
                return []
            frames = self._frames()
            if frames:
                return [self._item(frame) for frame in frames]
            following = self._following()
            if following is None:
                return []
            if frames := self._frames():  # appended just before the writer's rotation
                return [self._item(frame) for frame in frames]
            self._enter(following)

    def close(self) -> None:
        """Close the segment."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _frames(self) -> list[Frame]:
        while True:
            offset = self.cursor.offset
            data = os.pread(self._handle, self._chunk, offset)
            self.caught_up = len(data) < self._chunk
            frames = parse(data, offset)
            if frames:
                return frames
            if len(data) == self._chunk:
                self._chunk *= _GROWTH
                continue
            self._chunk = _CHUNK_BYTES
            found = resync(data) if data else None
            if found is None:
                return []
            self.cursor = msgspec.structs.replace(self.cursor, offset=offset + found)

    def _open(self) -> bool:
        indexes = [index for index in segments(self._directory) if index >= self.cursor.segment]
        if not indexes:
            return False
        if indexes[0] != self.cursor.segment:
            self.cursor = msgspec.structs.replace(self.cursor, segment=indexes[0], offset=0)
        self._handle = os.open(segment_path(self._directory, indexes[0]), os.O_RDONLY | os.O_CLOEXEC)
        return True

    def _enter(self, index: int) -> None:
        self.close()
        self.cursor = msgspec.structs.replace(self.cursor, segment=index, offset=0)

    def _following(self) -> int | None:
        """Return the index of the next segment with a valid frame, or None; segments before it are damaged and never completed."""
        for index in segments(self._directory):
            if index > self.cursor.segment:
                with contextlib.suppress(FileNotFoundError):  # removed by its writer, which found no space for the HEAD
                    if next(frames_of(segment_path(self._directory, index)), None) is not None:
                        return index
        return None

    def _item(self, frame: Frame) -> Item:
        before, shed, moved = self.cursor.number, self.cursor.shed, self.cursor.moved
        own = 0
        if frame.kind in {Kind.REQUEST, Kind.END}:
            own = 1
        elif frame.kind == Kind.GAP:
            own = gap_of(frame).count
            shed += own
        missing = max(0, frame.number - before - own)
        moved += missing
        if frame.kind == Kind.HEAD and (unread := head_of(frame).shed - shed) > 0:
            shed, moved = shed + unread, moved - unread  # a gap record is among the missing frames
        rejected = (self.cursor.segment, frame.end) in self._rejected
        if rejected and own:
            moved += 1
        self.cursor = Cursor(
            segment=self.cursor.segment,
            offset=frame.end,
            number=frame.number,
            shed=shed,
            moved=moved,
            closed=frame.kind == Kind.CLOSED,
        )
        return Item(frame, self.cursor, before + 1, missing, rejected)
