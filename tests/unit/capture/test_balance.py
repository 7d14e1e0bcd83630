"""The balance of a spool while a new segment is being created."""

import pytest
from support.spool import Spool, small_settings

from serving.capture.balance import read_balance
from serving.capture.delivery_cursor import Cursor, save_cursor
from serving.capture.segment import HEADER_BYTES, segment_path, segments


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
