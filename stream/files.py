"""Files that several processes share: atomic replacement, and locks that end with their process."""

import fcntl
import os
from pathlib import Path
from typing import Self

__all__ = ["FileLock", "replace_file", "sync_directory"]


def replace_file(path: Path, content: bytes | str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Replace `path` in one step: a reader, and a crash of this process, leave the old content or the new.

    With `durable`, a power loss does so too. Raises OSError if the disk is full or failed; `path` is then unchanged.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            os.fchmod(file.fileno(), mode)
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in the folder `path` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileLock:
    """An exclusive ``flock`` on a file, created if it is missing; released by the kernel when the process ends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Wait for the lock on `path`; raises OSError where the file cannot be opened."""
        lock = cls(_open(path))
        fcntl.flock(lock._handle, fcntl.LOCK_EX)
        return lock

    @classmethod
    def try_acquire(cls, path: Path) -> Self | None:
        """Return the lock on `path`, or None where another process holds it; raises OSError where it cannot be opened."""
        lock = cls(_open(path))
        try:
            fcntl.flock(lock._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.release()
            return None
        return lock

    def release(self) -> None:
        """Release the lock; idempotent."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
