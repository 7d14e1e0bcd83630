"""Files that several processes share: atomic replacement, digests, and locks that are released when their process ends."""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import Self


def replace_file(path: Path, content: bytes | str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Replace `path` atomically: readers see the old or the new content, even if this process crashes.

    With `durable`, readers also see the old or the new content after a power loss. Raises OSError if the disk is full
    or fails; `path` is then unchanged.
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
    except OSError as error:
        error.filename = error.filename or str(path)  # the error of a full disk names no file
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def replace_folder(path: Path, draft: Path) -> None:
    """Write the folder `draft` to disk and rename it to `path`; an existing folder at `path` is deleted first."""
    for part in (*draft.rglob("*"), draft):
        _sync(part)
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Write the file names in the folder `path` to disk, so that they survive a power loss."""
    _sync(path)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileLock:
    """An exclusive ``flock`` on a file. The file is created if missing. The lock is released when the process ends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Wait for the lock on `path`; raises OSError if the file cannot be opened."""
        lock = cls(_open(path))
        fcntl.flock(lock._handle, fcntl.LOCK_EX)
        return lock

    @classmethod
    def try_acquire(cls, path: Path) -> Self | None:
        """Return the lock on `path`, or None if another process has it; raises OSError if the file cannot be opened."""
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
