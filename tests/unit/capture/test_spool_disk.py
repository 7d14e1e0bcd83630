"""The spool writer on a disk that fills up or fails, and what it syncs."""

import os
from pathlib import Path

import pytest
from support.spool import TRACE, Spool, a_request, events_of, no_file_beyond, small_settings

from serving.capture.segment import MAX_OPEN_BYTES, segments
from stream.wire import Closed, GapRecord, Tick


@pytest.fixture
def spool(tmp_path, request):
    made = Spool(tmp_path, settings=small_settings(segment_bytes=getattr(request, "param", 1_000_000)))
    yield made
    made.kill()


def shed(spool, name):
    with no_file_beyond(spool.writer.size_bytes):
        spool.request(name)


def written(spool):
    """Return the id of each request or end, the shed ids of each gap record, and the names of other events."""
    events = [(event.data, event.id) for event in events_of(spool.directory)]
    return [
        (data.reason, *data.request_ids)
        if isinstance(data, GapRecord)
        else type(data).__name__
        if isinstance(data, Closed | Tick)
        else name
        for data, name in events
    ]


@pytest.mark.parametrize("spool", [1], indirect=True)
def test_a_disk_that_fills_up_at_the_start_of_a_segment_is_used_again_when_it_has_space(spool):
    spool.request("a")
    with no_file_beyond(20):
        spool.request("b")
    spool.request("c")
    assert written(spool) == ["a/request", ("disk", "b"), "c/request"]


def test_a_torn_frame_that_cannot_be_removed_ends_its_segment(spool, monkeypatch):
    def truncate(handle, size):
        raise OSError

    spool.request("a")
    monkeypatch.setattr(os, "ftruncate", truncate)
    with no_file_beyond(spool.writer.size_bytes + 100):
        spool.request("b")
    spool.request("c")
    spool.request("d")
    assert segments(spool.directory) == [0, 1]
    assert written(spool) == ["a/request", ("disk", "b"), "c/request", "d/request"]


def test_a_tick_writes_the_gap_record_of_the_shed_requests_before_it(spool):
    shed(spool, "a")
    spool.writer.tick()
    assert written(spool) == [("disk", "a"), "Tick"]


def test_a_shed_request_has_no_aborted_end_and_its_gap_record_is_before_the_closed_record(spool):
    shed(spool, "a")
    spool.writer.finish()
    assert written(spool) == [("disk", "a"), "Closed"]


def test_finishing_again_after_the_disk_was_full_writes_each_end_once(spool):
    spool.request("a")
    before = spool.writer.size_bytes
    spool.end("a")
    size = spool.writer.size_bytes - before
    spool.request("b")
    spool.request("c")
    with no_file_beyond(spool.writer.size_bytes + size + size // 2), pytest.raises(OSError, match="too large"):
        spool.writer.finish()
    spool.writer.finish()
    assert written(spool)[2:] == ["b/request", "c/request", "b/end", "c/end", "Closed"]


def test_records_that_are_shed_for_different_reasons_have_different_gap_records(spool):
    shed(spool, "a")
    spool.writer.request(a_request("large", model="m" * MAX_OPEN_BYTES), traceparent=TRACE)
    spool.writer.tick()
    assert written(spool) == [("disk", "a"), ("oversize", "large"), "Tick"]


def test_gap_records_name_all_shed_requests_also_if_one_record_has_no_space_for_their_ids(spool):
    names = [f"{number:0128}" for number in range(500)]
    for name in names:
        spool.writer.request(a_request(name, model="m" * MAX_OPEN_BYTES), traceparent=TRACE)
    spool.writer.tick()
    gaps = [event.data for event in events_of(spool.directory) if isinstance(event.data, GapRecord)]
    assert len(gaps) == 2
    assert [name for gap in gaps for name in gap.request_ids] == names


@pytest.mark.parametrize("spool", [4000], indirect=True)
def test_all_segments_with_new_frames_are_synced(spool, monkeypatch):
    synced = []

    def sync(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    def synced_files():
        synced.clear()
        spool.writer.sync()
        return set(synced)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "fdatasync", sync)
    spool.fill(30)
    files = {f"{index:012d}.seg" for index in segments(spool.directory)}
    assert len(files) > 3
    assert synced_files() == {spool.directory.name, *files}
    assert synced_files() == set()
    spool.end("r0")
    assert synced_files() == {max(files)}


def test_after_a_failed_sync_the_gateway_is_not_ready_until_a_record_is_written(spool, monkeypatch):
    def sync(handle):
        raise OSError(5, "Input/output error")

    spool.request("a")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", sync)
        spool.writer.sync()
    assert not spool.writer.writable
    spool.end("a")
    assert spool.writer.writable
