import errno
import os
import stat
import subprocess
import sys

import pytest

from stream.files import FileLock, replace_file

HOLDS = """
import sys
from pathlib import Path
from stream.files import FileLock
FileLock.acquire(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize(("content", "mode"), [("naïve\n", 0o600), (b"\0", 0o644)])
def test_a_file_is_replaced_and_has_the_mode_with_any_umask(tmp_path, content, mode, durable):
    path = tmp_path / "file"
    path.write_text("old")
    previous = os.umask(0o077)
    try:
        replace_file(path, content, mode=mode, durable=durable)
    finally:
        os.umask(previous)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_content_and_no_temporary_file(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        replace_file(path, "new", durable=True)
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_excludes_others_until_it_is_released(tmp_path):
    path = tmp_path / "lock"
    with FileLock.acquire(path):
        assert FileLock.try_acquire(path) is None
    lock = FileLock.try_acquire(path)
    lock.release()
    lock.release()
    assert FileLock.try_acquire(path) is not None


def test_the_kernel_releases_the_lock_of_a_killed_process(tmp_path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        assert FileLock.try_acquire(path) is None
        process.kill()
    FileLock.acquire(path).release()
