"""Append frames to the segments of one spool, and handle disk errors; spool_writer.py checks the size limit of the spool."""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from serving.capture.segment import segment_path, segments
from stream.files import sync_directory

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class SegmentWriter:
    """The segments of one spool; frames are appended to the last one.

    A segment is closed at `segment_bytes`, but not before its frames are as large as its HEAD, so HEADs use at most half of the spool.
    Segments before the index `first` get no more frames.
    :meth:`append` leaves no incomplete frame: a failed write is truncated, and if that fails too, the next append begins a new segment.
    :meth:`sync` can run in another thread; the caller must serialise the other methods.
    """

    def __init__(self, directory: Path, *, segment_bytes: int, head: Callable[[], bytes], first: int = 0) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._head = head
        existing = segments(directory)
        last = existing[-1] if existing else -1
        self._index = max(last, first - 1)
        self._handle = -1
        self._size = 0
        self._head_bytes = 0
        self._broken = False
        self._retired: deque[int] = deque()
        self._synced_size = 0
        self._kept_bytes = sum(segment_path(directory, index).stat().st_size for index in existing)
        if last >= first:
            self._reopen(segment_path(directory, last))
        else:
            self.rotate()

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments; :meth:`recount` subtracts unlinked segments."""
        return self._kept_bytes + self._size

    @property
    def has_frames(self) -> bool:
        """Whether the last segment has frames after its HEAD."""
        return self._size > self._head_bytes

    @property
    def only_segment(self) -> bool:
        """Whether the shipper has unlinked all segments but the last."""
        return self._kept_bytes == 0

    def append(self, frame: bytes) -> None:
        """Append a frame, or several that belong together; after an OSError the spool contains no part of them.

        Appended frames survive a kill of the process.
        """
        if self._broken or (self._size + len(frame) > self._segment_bytes and self._may_end()):
            self.rotate()
        try:
            written = os.write(self._handle, frame)
            if written < len(frame):
                _write_whole(self._handle, frame[written:])
        except OSError:
            self._undo()
            raise
        self._size += len(frame)

    def rotate(self) -> None:
        """Begin a new segment; after an OSError the last segment is still used."""
        head = self._head()
        path = segment_path(self._directory, self._index + 1)
        handle = os.open(path, _FLAGS | os.O_EXCL, 0o600)
        try:
            _write_whole(handle, head)
        except OSError:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise
        if self._handle >= 0:
            self._retired.append(self._handle)
            self._kept_bytes += self._size
        self._handle, self._index = handle, self._index + 1
        self._size = self._head_bytes = len(head)
        self._broken = False

    def sync(self) -> None:
        """Sync all frames to disk, and close finished segments; raises OSError."""
        rotated = bool(self._retired)
        while self._retired:
            old = self._retired.popleft()
            try:
                os.fdatasync(old)
            finally:
                os.close(old)
        handle, size = self._handle, self._size
        if rotated:
            sync_directory(self._directory)
        if rotated or size != self._synced_size:
            os.fdatasync(handle)
            self._synced_size = size

    def recount(self) -> None:
        """Subtract the bytes of the segments that the shipper has unlinked."""
        kept = 0
        for index in segments(self._directory):
            if index < self._index:
                with contextlib.suppress(FileNotFoundError):
                    kept += segment_path(self._directory, index).stat().st_size
        self._kept_bytes = kept

    def close(self) -> None:
        """Sync all frames to disk and close the files."""
        if self._handle < 0:
            return
        try:
            self.sync()
            sync_directory(self._directory)
        finally:
            os.close(self._handle)
            self._handle = -1

    def _may_end(self) -> bool:
        return self.has_frames and self._size >= 2 * self._head_bytes

    def _reopen(self, path: Path) -> None:
        self._handle = os.open(path, _FLAGS, 0o600)
        self._size = os.fstat(self._handle).st_size
        self._kept_bytes -= self._size

    def _undo(self) -> None:
        try:
            os.ftruncate(self._handle, self._size)
        except OSError:
            self._broken = True


def _write_whole(handle: int, data: bytes) -> None:
    written = os.write(handle, data)
    while written < len(data):  # a disk that fills up accepts only a part
        written += os.write(handle, data[written:])
