"""The last number of a spool while a new segment is being created."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.events import TRACE
from support.spool import Spool, a_request, small_settings

from serving.capture import spool_tail
from serving.capture.balance import BalanceReader, read_balance
from serving.capture.segment import HEADER_BYTES, segment_path, segments
from serving.capture.spool_tail import SpoolTail


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path, settings=small_settings())
    yield made
    made.kill()


@pytest.mark.parametrize("written", [0, HEADER_BYTES - 1, HEADER_BYTES + 3])
@pytest.mark.parametrize("watched", [True, False])
def test_the_accepted_records_of_a_gateway_killed_during_the_creation_of_a_segment_are_counted(spool, written, watched):
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


def test_a_segment_that_was_empty_at_the_last_read_is_read_later(spool):
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


def test_two_concurrent_scrapes_count_shed_records_once(spool, monkeypatch):
    spool.request("a")
    reader = BalanceReader(spool.root)
    reader.read()
    spool.writer.request(a_request("huge", parameters={"stop": "x" * 1_000_001}), traceparent=TRACE)
    spool.writer.tick()
    both, read_at = threading.Barrier(2), spool_tail._read_at

    def meets(path, offset):
        data = read_at(path, offset)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # if both threads are in this function at the same time, both have the same frames
        return data

    monkeypatch.setattr(spool_tail, "_read_at", meets)
    with ThreadPoolExecutor(2) as pool:
        scrapes = [pool.submit(reader.read) for _ in range(2)]
    for balance in (*(scrape.result() for scrape in scrapes), reader.read()):
        assert (balance.accepted, balance.shed, balance.spooled) == (2, 1, 1)
