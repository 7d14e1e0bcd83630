"""Files that several processes share: atomic replacement, JSON, digests, reading after changes, and locks that end with their process."""

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Self, TypeVar

import msgspec

_LOG = logging.getLogger(__name__)
ValueT = TypeVar("ValueT")


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


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """Replace `path` by the indented JSON of `value`, as :func:`replace_file` does."""
    content = msgspec.json.format(msgspec.json.encode(value), indent=2)
    replace_file(path, content + b"\n", durable=durable)


def read_json(path: Path, kind: type[ValueT]) -> ValueT | None:
    """Return the JSON value of `path`, or None if the file is missing or damaged; raises the other errors of reading."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, UnicodeDecodeError):
        return None


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


class WatchedFile(Generic[ValueT]):
    """A file that is read again when it changes; `decode` returns its value, or raises ValueError. Without a file, the value is `missing`.

    A file that cannot be read or decoded is logged once, and keeps the value that was read before.
    """

    def __init__(self, path: Path, decode: Callable[[bytes], ValueT], missing: ValueT) -> None:
        self._path = path
        self._decode = decode
        self._value = self._missing = missing
        self._stamp: tuple[int, int, int] | None = None
        self._logged = ""

    def value(self) -> ValueT:
        """Return the value; the same object if the file has not changed."""
        try:
            self._refresh()
            self._logged = ""
        except FileNotFoundError:
            self._value, self._stamp, self._logged = self._missing, None, ""
        except (OSError, ValueError) as error:
            if self._logged != str(error):
                _LOG.warning("%s cannot be read (%s); the last content that was read still applies", self._path, error)
                self._logged = str(error)
        return self._value

    def _refresh(self) -> None:
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._value = self._decode(self._path.read_bytes())
            self._stamp = stamp


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
