"""Adoption of the spool of a dead gateway: the shipper completes it from its files, at whatever byte it ends."""

import os
import shutil
from pathlib import Path

import pytest
from support.spool import TRACE, Spool, events_of, frames_of, no_file_beyond, small_settings, without_heads

from serving.capture import event_encoding as encoding
from serving.capture.adopt_spool import adopt
from serving.capture.balance import read_source
from serving.capture.clock import SourceClock
from serving.capture.delivery_cursor import Cursor, load_cursor, save_cursor
from serving.capture.segment import Kind, encode_frame, read_segment, segment_path, segments
from serving.capture.spool_reader import SpoolReader
from stream.wire import Closed, GapRecord, RequestRecord, ResponseRecord


@pytest.fixture
def orphan(tmp_path):
    """A spool with several segments: two requests have an end record, three have none."""
    spool = Spool(tmp_path, settings=small_settings(segment_bytes=2000))
    for name in "abcde":
        spool.request(name, "x" * 600)
    spool.end("b")
    spool.writer.tick()
    spool.end("d")
    spool.kill()
    return spool


def ends(events):
    return {event.correlationid: event.data.status for event in events if isinstance(event.data, ResponseRecord)}


def test_requests_without_an_end_get_an_aborted_end_in_their_trace(orphan):
    assert adopt(orphan.directory, orphan.source) == 3
    events = events_of(orphan.directory)
    assert ends(events) == {"a": "aborted", "b": "complete", "c": "aborted", "d": "complete", "e": "aborted"}
    aborted = [event for event in events if event.type.endswith("aborted.v1")]
    assert {event.traceparent for event in aborted} == {TRACE}
    assert {(event.data.tenant, event.data.model, event.data.text, event.data.owed) for event in aborted} == {
        ("acme", "m", "", ())
    }
    requests = {event.correlationid: event for event in events if isinstance(event.data, RequestRecord)}
    assert all(event.partitionkey == requests[event.correlationid].partitionkey for event in aborted)
    assert isinstance(events[-1].data, Closed)


def test_numbers_and_times_continue_after_the_last_record_of_the_gateway(orphan):
    last = frames_of(orphan.directory)[-1]
    adopt(orphan.directory, orphan.source, SourceClock(last.time, wall=lambda: 1.0))
    frames = frames_of(orphan.directory)
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)
    numbered = [frame.number for frame in frames if frame.kind in {Kind.REQUEST, Kind.END}]
    assert numbered == list(range(1, 11))


@pytest.fixture
def adopted(orphan, tmp_path):
    """Return a generator of (cut, events): each is a copy of the spool, adopted after its last segment was cut at byte
    `cut`.
    """

    def copies(directory, cuts):
        last = segments(directory)[-1]
        for cut in cuts:
            again = tmp_path / "again"
            shutil.copytree(directory, again)
            os.truncate(segment_path(again, last), cut)
            adopt(again, orphan.source)
            yield cut, events_of(again)
            shutil.rmtree(again)

    return copies


def test_if_an_adopter_is_killed_at_any_byte_the_next_one_writes_the_same_ends(orphan, tmp_path, adopted):
    whole = tmp_path / "whole"
    shutil.copytree(orphan.directory, whole)
    adopt(whole, orphan.source)
    size = segment_path(whole, segments(whole)[-1]).stat().st_size
    for _, events in adopted(whole, [*range(0, size, 7), size]):
        assert ends(events).keys() == set("abcde")
        assert [event for event in events if isinstance(event.data, Closed)] == events[-1:]


def test_if_the_last_record_is_torn_at_any_byte_at_most_that_record_is_lost(orphan, adopted):
    frames, size = read_segment(segment_path(orphan.directory, segments(orphan.directory)[-1]))
    for cut, events in adopted(orphan.directory, range(frames[-2].end, size + 1)):
        found = ends(events)
        assert found.keys() == set("abcde")
        assert (found["b"], found["d"]) == ("complete", "complete" if cut == size else "aborted")


def test_a_spool_whose_last_segment_has_a_torn_head_is_adopted(orphan):
    last = segments(orphan.directory)[-1]
    segment_path(orphan.directory, last + 1).write_bytes(b"\xd7W\x00")
    adopt(orphan.directory, orphan.source)
    assert segments(orphan.directory)[-1] >= last
    assert ends(events_of(orphan.directory)).keys() == set("abcde")


@pytest.mark.parametrize("damaged", [1, 2])
def test_if_heads_are_damaged_the_open_requests_of_earlier_segments_are_aborted(orphan, damaged):
    assert len(segments(orphan.directory)) > damaged
    for index in segments(orphan.directory)[-damaged:]:
        path = segment_path(orphan.directory, index)
        head = read_segment(path)[0][0]
        with path.open("r+b") as segment:
            segment.write(bytes(head.end))
    assert adopt(orphan.directory, orphan.source) == 3
    assert ends(events_of(orphan.directory)).keys() == set("abcde")


def test_open_requests_are_aborted_after_their_segment_was_shipped_and_unlinked(orphan):
    for index in segments(orphan.directory)[:-1]:
        segment_path(orphan.directory, index).unlink()
    assert adopt(orphan.directory, orphan.source) == 3


def test_an_open_gap_becomes_a_gap_record_and_its_requests_are_not_aborted(tmp_path):
    spool = Spool(tmp_path, settings=small_settings(limit_bytes=150_000))
    spool.fill(60, "x" * 2000)
    open_gap = read_source(spool.directory)
    spool.kill()
    adopt(spool.directory, spool.source)
    events = events_of(spool.directory)
    gaps = [event.data for event in events if isinstance(event.data, GapRecord)]
    recorded = {event.correlationid for event in events if isinstance(event.data, RequestRecord)}
    assert sum(gap.count for gap in gaps) == open_gap.shed == 60 - len(recorded)
    assert ends(events) == dict.fromkeys(recorded, "aborted")
    after = read_source(spool.directory)
    assert (after.accepted, after.shed) == (60 + len(recorded), open_gap.shed)


def test_requests_that_were_shed_after_a_failed_write_of_the_open_gap_are_counted(tmp_path):
    spool = Spool(tmp_path, settings=small_settings(limit_bytes=150_000))
    spool.fill(60, "x" * 2000)
    with no_file_beyond(0):
        assert spool.request("unwritten")
    for number in range(40):
        spool.request(f"later-{number}")
    spool.kill()
    adopt(spool.directory, spool.source)
    events = events_of(spool.directory)
    gaps = [event.data for event in events if isinstance(event.data, GapRecord)]
    recorded = [event for event in events if isinstance(event.data, RequestRecord)]
    assert sum(gap.count for gap in gaps) == 101 - len(recorded)


def test_the_gap_record_of_an_adopter_has_the_reason_of_the_dead_gateway(tmp_path):
    spool = Spool(tmp_path)
    spool.request("a", "x" * 100_000)
    with no_file_beyond(spool.writer.size_bytes + 100):
        spool.request("b", "x" * 5000)
    spool.kill()
    adopt(spool.directory, spool.source)
    (gap,) = [event.data for event in events_of(spool.directory) if isinstance(event.data, GapRecord)]
    assert (gap.first_number, gap.last_number, gap.reason, gap.request_ids) == (2, 2, "disk", ("b",))


def test_a_spool_without_any_record_is_closed(tmp_path):
    spool = Spool(tmp_path)
    spool.kill()
    assert adopt(spool.directory, spool.source) == 0
    assert [frame.kind for frame in without_heads(frames_of(spool.directory))] == [Kind.CLOSED]


@pytest.mark.parametrize("missing", ["gap", "cursor", "000000000000.seg"])
def test_an_adoption_that_fails_on_a_full_disk_leaves_no_file_open(tmp_path, missing):
    spool = Spool(tmp_path)
    spool.kill()
    (spool.directory / missing).unlink()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with no_file_beyond(0), pytest.raises(OSError, match="File too large"):
            adopt(spool.directory, spool.source)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert adopt(spool.directory, spool.source) == 0


def read_on(directory):
    """Return the frames after the cursor of the spool, and the cursor after these frames."""
    reader = SpoolReader(directory, load_cursor(directory))
    frames = []
    while items := reader.read():
        frames += [item.frame for item in items]
    reader.close()
    return frames, reader.cursor


@pytest.fixture
def cut_before_its_cursor(orphan, tmp_path):
    """Return a function that cuts the last segment of a fully delivered spool, as a power loss does.

    The spool has only its last segment, because the shipper unlinked the others.
    """
    reader = SpoolReader(orphan.directory, Cursor())
    while reader.read():
        pass
    reader.close()
    *shipped, last = segments(orphan.directory)
    for index in shipped:
        segment_path(orphan.directory, index).unlink()
    save_cursor(orphan.directory, reader.cursor)
    frames, size = read_segment(segment_path(orphan.directory, last))
    assert reader.cursor.offset == size

    def cut(kept):
        """Keep the first `kept` frames; if `kept` is -1, delete the segment."""
        if kept < 0:
            segment_path(orphan.directory, last).unlink()
        else:
            os.truncate(segment_path(orphan.directory, last), frames[kept - 1].end if kept else 0)
        return orphan.directory

    return cut


@pytest.mark.parametrize("kept", [-1, 0, 1, 2])
def test_a_spool_that_lost_delivered_frames_is_read_to_its_end_after_adoption(cut_before_its_cursor, orphan, kept):
    directory = cut_before_its_cursor(kept)
    delivered = load_cursor(directory)
    aborted = adopt(directory, orphan.source)
    frames, cursor = read_on(directory)
    ended = [frame for frame in frames if frame.kind == Kind.END]
    assert len(ended) == aborted
    assert [frame.number for frame in ended] == [delivered.number + 1 + place for place in range(len(ended))]
    assert cursor.closed
    assert (cursor.shed, cursor.moved) == (delivered.shed, delivered.moved)
    balance = read_source(directory)
    assert (balance.accepted, balance.spooled) == (delivered.number + len(ended), len(ended))


@pytest.mark.parametrize("kept", [-1, 0, 1])
def test_if_the_adopter_of_a_spool_that_lost_delivered_frames_is_killed_the_next_one_writes_the_same(
    cut_before_its_cursor, orphan, tmp_path, kept
):
    directory = cut_before_its_cursor(kept)
    adopt(directory, orphan.source)
    first, _ = read_on(directory)
    last = segments(directory)[-1]
    size = segment_path(directory, last).stat().st_size
    for cut in [*range(0, size, 7), size]:
        again = tmp_path / "again"
        shutil.copytree(directory, again)
        os.truncate(segment_path(again, last), cut)
        adopt(again, orphan.source)
        frames, cursor = read_on(again)
        assert cursor.closed
        assert [(frame.kind, frame.number) for frame in without_heads(frames)] == [
            (frame.kind, frame.number) for frame in without_heads(first)
        ]
        shutil.rmtree(again)


def test_a_spool_that_an_older_version_closed_before_its_cursor_is_read_to_its_end(cut_before_its_cursor, orphan):
    directory = cut_before_its_cursor(1)
    delivered = load_cursor(directory)
    (last,) = segments(directory)
    with segment_path(directory, last).open("ab") as segment:
        segment.write(encode_frame(Kind.CLOSED, 1, 5, encoding.closed(orphan.source, 5)))
    assert segment_path(directory, last).stat().st_size < delivered.offset
    adopt(directory, orphan.source)
    _, cursor = read_on(directory)
    assert (cursor.closed, cursor.delivered) == (True, delivered.delivered + cursor.number - delivered.number)
