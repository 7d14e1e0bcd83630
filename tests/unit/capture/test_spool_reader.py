"""Reading a spool during writes: each record once, in order, across segments, and past damaged frames."""

import os
import shutil
from pathlib import Path

import pytest
from support.spool import NUMBERED, Spool, flip_bit, frames_of, small_settings

from serving.capture import spool_reader
from serving.capture.adopt_spool import adopt
from serving.capture.delivery_cursor import Cursor
from serving.capture.segment import Kind, read_segment, segment_path, segments
from serving.capture.spool_reader import SpoolReader


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path, settings=small_settings(segment_bytes=3000))
    yield made
    made.kill()


def read_all(directory, cursor=None):
    reader = SpoolReader(directory, cursor or Cursor())
    items = []
    while chunk := reader.read():
        items += chunk
    reader.close()
    return items


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def fill(spool, last, first=0):
    for number in range(first, last):
        spool.request(f"r{number}", "x" * (number * 37 % 900))


def test_all_records_are_read_once_in_order_during_writes(spool):
    reader = SpoolReader(spool.directory, Cursor())
    numbers = []
    for step in range(40):
        fill(spool, 3 * step + 3, 3 * step)
        numbers += [item.frame.number for item in reader.read() if item.frame.kind in NUMBERED]
    while items := reader.read():
        numbers += [item.frame.number for item in items if item.frame.kind in NUMBERED]
    reader.close()
    assert numbers == list(range(1, 121))
    assert len(segments(spool.directory)) > 5


def test_reading_continues_from_any_cursor(spool):
    fill(spool, 30)
    items = read_all(spool.directory)
    for position, item in enumerate(items):
        assert read_all(spool.directory, item.cursor) == items[position + 1 :]


def test_if_the_segment_of_the_cursor_is_missing_reading_continues_at_the_start_of_the_next(spool):
    fill(spool, 12)
    items = read_all(spool.directory)
    segment_path(spool.directory, 0).unlink()
    later = [item.frame.number for item in items if item.cursor.segment > 0]
    assert [item.frame.number for item in read_all(spool.directory, items[1].cursor)] == later


def test_an_incomplete_last_frame_is_not_read_before_it_is_complete(spool):
    fill(spool, 2)
    path = segment_path(spool.directory, segments(spool.directory)[-1])
    whole = path.read_bytes()
    last = read_segment(path)[0][-2].end
    for cut in range(last, len(whole)):
        os.truncate(path, cut)
        assert [item.frame.number for item in read_all(spool.directory)][-1] == 1
        path.write_bytes(whole)
    assert [item.frame.number for item in read_all(spool.directory)][-1] == 2


def test_a_damaged_frame_is_skipped_and_its_number_reported(spool, tmp_path):
    fill(spool, 12)
    for index in segments(spool.directory)[:-1]:
        path = segment_path(spool.directory, index)
        for frame in [frame for frame in read_segment(path)[0] if frame.kind == Kind.REQUEST]:
            copy = tmp_path / "copy"
            shutil.copytree(spool.directory, copy)
            flip_bit(segment_path(copy, index), frame.end - 5)
            items = read_all(copy)
            missing = [(item.first_missing, item.missing) for item in items if item.missing]
            assert missing == [(frame.number, 1)]
            assert items[-1].cursor.moved == 1
            assert items[-1].cursor.number == 12
            assert items[-1].cursor.delivered == 11
            shutil.rmtree(copy)


def test_a_damaged_head_loses_no_record(spool):
    fill(spool, 12)
    flip_bit(segment_path(spool.directory, segments(spool.directory)[1]), 3)
    items = read_all(spool.directory)
    assert [item.frame.number for item in items if item.frame.kind == Kind.REQUEST] == list(range(1, 13))
    assert not any(item.missing for item in items)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 0), zero])
def test_all_numbers_of_a_lost_segment_are_reported(spool, damage):
    fill(spool, 12)
    lost = segments(spool.directory)[1]
    path = segment_path(spool.directory, lost)
    numbers = [frame.number for frame in read_segment(path)[0] if frame.kind == Kind.REQUEST]
    damage(path)
    items = read_all(spool.directory)
    assert [(item.first_missing, item.missing) for item in items if item.missing] == [(numbers[0], len(numbers))]
    assert items[-1].cursor.moved == len(numbers)
    assert items[-1].cursor.number == 12


def test_a_segment_that_its_writer_has_removed_again_on_a_full_disk_ends_no_read(spool, monkeypatch):
    fill(spool, 12)
    found = segments(spool.directory)
    monkeypatch.setattr(spool_reader, "segments", lambda _directory: [*found, found[-1] + 1])
    assert read_all(spool.directory)[-1].cursor.number == 12


def test_a_record_that_is_appended_just_before_the_next_segment_begins_is_read(spool, monkeypatch):
    """The writer appends the record and begins the segment after the reader found the end of its segment."""
    spool.request("r0")
    reader = SpoolReader(spool.directory, Cursor())
    items = reader.read()

    def found(directory):
        if segments(directory) == [0]:
            fill(spool, 9, 1)
        return segments(directory)

    monkeypatch.setattr(spool_reader, "segments", found)
    while more := reader.read():
        items += more
    reader.close()
    assert len(segments(spool.directory)) > 1
    assert [item.frame.number for item in items if item.frame.kind in NUMBERED] == list(range(1, 10))


def test_a_damaged_gap_record_is_counted_once(tmp_path):
    spool = Spool(tmp_path, settings=small_settings(limit_bytes=160_000))
    for number in range(60):
        spool.request(f"r{number}", "x" * 2000)
    spool.kill()
    adopt(spool.directory, spool.source)
    whole = read_all(spool.directory)[-1].cursor
    assert whole.shed > 0
    (gap, *_) = (frame for frame in frames_of(spool.directory) if frame.kind == Kind.GAP)
    for index in segments(spool.directory):
        path = segment_path(spool.directory, index)
        if gap in read_segment(path)[0]:
            flip_bit(path, gap.end - 5)
    damaged = read_all(spool.directory)[-1].cursor
    assert damaged.number == whole.number
    assert damaged.shed + damaged.moved == whole.shed
    assert damaged.delivered == whole.delivered


def test_a_rejected_record_counts_as_moved(spool):
    fill(spool, 3)
    items = read_all(spool.directory)
    refused = next(item for item in items if item.frame.number == 2)
    reader = SpoolReader(spool.directory, Cursor(), frozenset({(refused.cursor.segment, refused.cursor.offset)}))
    again = reader.read()
    reader.close()
    assert [item.frame.number for item in again if item.rejected] == [2]
    assert again[-1].cursor.moved == 1
