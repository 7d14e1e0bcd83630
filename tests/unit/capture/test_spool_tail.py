"""The end of a spool's log, while its last segment is in the making."""

import pytest
from support.spool import Spool, small_settings

from serving.capture.balance import read_balance
from serving.capture.segment import HEADER_BYTES, segment_path, segments
from serving.capture.spool_tail import SpoolTail


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path, settings=small_settings())
    yield made
    made.kill()


@pytest.mark.parametrize("written", [0, HEADER_BYTES - 1, HEADER_BYTES + 3])
@pytest.mark.parametrize("watched", [True, False])
def test_a_gateway_killed_as_it_begins_a_segment_still_counts_all_that_it_accepted(spool, written, watched):
    tail = SpoolTail(spool.directory)
    spool.request("a")
    if watched:
        tail.advance()
    spool.request("b")
    head = segment_path(spool.directory, 0).read_bytes()[:written]
    segment_path(spool.directory, segments(spool.directory)[-1] + 1).write_bytes(head)
    for _ in range(2):
        tail.advance()
        assert tail.number == 2
    balance = read_balance(spool.root)
    assert (balance.accepted, balance.spooled) == (2, 2)


def test_the_segment_is_followed_once_it_has_begun(spool):
    tail = SpoolTail(spool.directory)
    spool.request("a")
    path = segment_path(spool.directory, 1)
    path.touch()
    tail.advance()
    path.unlink()
    spool.writer._segments.rotate()
    spool.request("b")
    tail.advance()
    assert tail.number == 2
