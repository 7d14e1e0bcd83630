"""The balance of several spools, and of a spool while a new segment is being created."""

import pytest
from support.spool import Spool, no_file_beyond, small_settings

from serving.capture.balance import read_balance
from serving.capture.delivery_cursor import Cursor, Totals, save_cursor
from serving.capture.open_gap import GAP_RECORD_BYTES
from serving.capture.segment import HEADER_BYTES, read_segment, segment_path, segments
from stream.files import write_json


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path, settings=small_settings())
    yield made
    made.kill()


@pytest.mark.parametrize("written", [0, HEADER_BYTES - 1, HEADER_BYTES + 3])
def test_the_accepted_records_of_a_gateway_killed_during_the_creation_of_a_segment_are_counted(spool, written):
    spool.request("a")
    spool.request("b")
    head = segment_path(spool.directory, 0).read_bytes()[:written]
    segment_path(spool.directory, segments(spool.directory)[-1] + 1).write_bytes(head)
    balance = read_balance(spool.root)
    assert (balance.accepted, balance.spooled) == (2, 2)


def test_a_spool_without_a_valid_frame_has_the_counts_of_its_cursor(spool):
    spool.request("a")
    save_cursor(spool.directory, Cursor(segment=0, offset=HEADER_BYTES, number=7))
    segment_path(spool.directory, 0).write_bytes(bytes(HEADER_BYTES))
    balance = read_balance(spool.root)
    assert (balance.accepted, balance.delivered, balance.spooled) == (7, 7, 0)


def test_all_counts_of_two_spools_and_a_removed_spool_balance(tmp_path, monkeypatch):
    spool, other, removed = (Spool(tmp_path, settings=small_settings(limit_bytes=4_000_000)) for _ in range(3))
    removed.request("a")
    write_json(tmp_path / "totals.json", Totals(accepted=100, delivered=90, shed=10, folded=(removed.source,)))
    with no_file_beyond(spool.writer.size_bytes):
        spool.request("shed")
    spool.fill(20, "x" * 2000)
    other.request("a")
    for one in (spool, other):
        one.writer.tick()
    sizes = [sum(path.stat().st_size for path in one.directory.glob("*.seg")) for one in (spool, other)]
    # Kafka has acknowledged the first records of the third segment, of which two were too large.
    _, _, last, oldest, *_ = read_segment(segment_path(spool.directory, 2))[0]
    save_cursor(spool.directory, Cursor(segment=2, offset=last.end, number=last.number, shed=1, moved=2))
    monkeypatch.setattr("time.time", lambda: oldest.time / 1e6 + 7)
    found = read_balance(tmp_path, limit_bytes=4_000_000)
    assert last.number > 3
    assert (found.accepted, found.delivered) == (100 + 21 + 1, 90 + last.number - 3)
    assert (found.shed, found.spooled) == (10 + 3, 21 - last.number + 1)
    assert (found.bytes, found.fullest) == (sum(sizes), spool.source)
    reserved = 20 * (4096 + GAP_RECORD_BYTES)  # for the ends
    assert found.fullest_bytes == pytest.approx(sizes[0] + reserved, abs=40_000)
    assert found.oldest_age_seconds == pytest.approx(7)
    for one in (spool, other, removed):
        one.kill()
