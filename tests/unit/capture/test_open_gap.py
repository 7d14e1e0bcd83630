import contextlib
import errno
import os
from pathlib import Path

import pytest
from support.spool import Spool, no_file_beyond

from serving.capture.open_gap import GapFile, read_gap


@pytest.fixture
def gap_file(tmp_path):
    file = GapFile(tmp_path)
    yield file
    file.close()


def test_a_shed_number_is_readable_from_the_file_immediately(gap_file, tmp_path):
    for number in range(11, 16):
        gap_file.add(number, f"request-{number}", "full")
        gap = read_gap(tmp_path, 10)
        assert (gap.first, gap.last, gap.count) == (11, number, number - 10)
    assert gap.request_ids == [f"request-{number}" for number in range(11, 16)]
    assert read_gap(tmp_path, 15).count == 0, "numbers that the segments already have do not count"


@pytest.fixture
def syncs(monkeypatch):
    """The names of the files that were synced."""
    names, fdatasync = [], os.fdatasync

    def sync(handle):
        names.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fdatasync(handle)

    monkeypatch.setattr(os, "fdatasync", sync)
    return names


def test_the_numbers_are_synced_once_after_a_change(gap_file, syncs):
    gap_file.sync()
    assert syncs == []
    for number in (1, 2):
        gap_file.add(number, "a", "full")
    gap_file.sync()
    gap_file.sync()
    assert syncs == ["gap"]
    while not gap_file.full:
        gap_file.add(gap_file.gap.last + 1, "a" * 128, "full")
    gap_file.sync()
    gap_file.add(gap_file.gap.last + 1, "a", "full")
    gap_file.sync()
    assert syncs == ["gap", "gap", "gap"]


def test_a_sync_that_fails_is_tried_again(gap_file, syncs, monkeypatch):
    def fail(_handle):
        raise OSError(errno.EIO, "Input/output error")

    gap_file.add(1, "a", "full")
    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            gap_file.sync()
    gap_file.sync()
    assert syncs == ["gap"]


def test_a_spool_syncs_the_numbers_that_it_sheds(tmp_path, syncs):
    spool = Spool(tmp_path)
    spool.request("a")
    spool.writer.sync()
    assert "gap" not in syncs
    with no_file_beyond(spool.writer.size_bytes):
        spool.request("b")
    spool.writer.sync()
    assert syncs.count("gap") == 1
    with no_file_beyond(spool.writer.size_bytes):
        spool.request("c")
    spool.kill()
    assert syncs.count("gap") == 2


def test_entries_of_an_earlier_gap_do_not_count(gap_file, tmp_path):
    for number in range(1, 6):
        gap_file.add(number, f"old-{number}", "full")
    gap_file.clear()
    gap_file.add(9, "new", "full")
    gap = read_gap(tmp_path, 8)
    assert (gap.first, gap.last, gap.request_ids) == (9, 9, ["new"])


def test_the_space_is_allocated_in_advance_and_beyond_it_numbers_are_counted_without_ids(gap_file, tmp_path):
    before = (tmp_path / "gap").stat()
    assert before.st_blocks * 512 >= 64 * 1024
    for number in range(1, 5001):
        gap_file.add(number, f"{number:036d}", "full")
    gap, after = read_gap(tmp_path, 0), (tmp_path / "gap").stat()
    assert gap.count == 5000
    assert 1000 < len(gap.request_ids) < 5000
    assert gap.request_ids[:2] == [f"{1:036d}", f"{2:036d}"]
    assert (after.st_size, after.st_blocks) == (before.st_size, before.st_blocks)


def test_the_reason_of_a_gap_is_its_first_reason(gap_file, tmp_path):
    gap_file.add(1, "a", "disk")
    gap_file.add(2, "b", "full")
    assert read_gap(tmp_path, 0).reason == "disk"
    gap_file.clear()
    gap_file.add(3, "c", "oversize")
    assert read_gap(tmp_path, 2).reason == "oversize"


@pytest.mark.parametrize("failing", [{1}, {1, 2}, {3}, {2, 3}])
@pytest.mark.parametrize("size", [0, 30, 60])
def test_numbers_whose_write_fails_are_written_with_the_next_number(gap_file, tmp_path, failing, size):
    """With some values of `size`, a part of an entry is written."""
    for number in range(1, 5):
        with no_file_beyond(size if number in failing else 1 << 30), contextlib.suppress(OSError):
            gap_file.add(number, f"{number:036d}", "disk")
    gap = read_gap(tmp_path, 0)
    assert (gap.first, gap.last, gap.reason) == (1, 4, "disk")
    assert gap.request_ids == [f"{number:036d}" for number in range(1, 5)]


def test_the_gap_of_an_older_version_which_stored_no_reason_is_read(gap_file, tmp_path):
    for number in range(1, 5001):
        gap_file.add(number, f"{number:036d}", "disk")
    newest = read_gap(tmp_path, 0)
    data = bytearray((tmp_path / "gap").read_bytes())
    data[-60:-40] = bytes(20)
    (tmp_path / "gap").write_bytes(data)
    gap = read_gap(tmp_path, 0)
    assert gap.reason == "full"
    assert (gap.first, gap.last, gap.request_ids) == (newest.first, newest.last, newest.request_ids)


@pytest.mark.parametrize("cut", range(0, 49, 3))
def test_a_torn_entry_is_not_counted(gap_file, tmp_path, cut):
    for number in (1, 2):
        gap_file.add(number, f"{number:036d}", "full")
    data = bytearray((tmp_path / "gap").read_bytes())
    data[49 + cut : 98] = bytes(49 - cut)
    (tmp_path / "gap").write_bytes(data)
    assert read_gap(tmp_path, 0).last == 1
