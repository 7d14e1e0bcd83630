import contextlib

import pytest
from support.spool import no_file_beyond

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
