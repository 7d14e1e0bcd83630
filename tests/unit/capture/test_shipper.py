"""The shipper's scan of the spools, without a broker."""

import asyncio
import contextlib
import threading

import pytest
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry
from support.spool import Spool

import serving.capture.shipper
from serving.capture.delivery_cursor import Cursor, load_totals
from serving.capture.shipper import Shipper, fold
from stream.settings import KafkaSettings


@pytest.fixture
def shipper(tmp_path):
    kafka = {"names": KafkaSettings().names, "partitions": 1}
    telemetry = {"registry": CollectorRegistry(), "tracer_provider": NoOpTracerProvider()}
    return Shipper(tmp_path, {"bootstrap_servers": "127.0.0.1:1"}, **kafka, **telemetry)


async def test_a_spool_that_is_shipped_and_removed_during_a_scan_does_not_end_the_shipper(
    tmp_path, shipper, monkeypatch
):
    spools = [Spool(tmp_path), Spool(tmp_path)]
    for spool in spools:
        spool.kill()
    first, second = serving.capture.shipper.source_directories(tmp_path)
    adopt = serving.capture.shipper.adopt

    def slow(directory, source):
        assert source == first
        fold(tmp_path, tmp_path / second, Cursor(closed=True))
        return adopt(directory, source)

    monkeypatch.setattr(serving.capture.shipper, "adopt", slow)
    await shipper._scan(asyncio.Event())
    assert list(shipper._tasks) == [first]
    await serving.capture.shipper._end(shipper._tasks.values(), 0)
    shipper._locks[first].release()


async def test_the_folder_that_ext4_makes_on_a_disk_is_no_spool(tmp_path, shipper):
    (tmp_path / "lost+found").mkdir(mode=0o700)
    await shipper._scan(asyncio.Event())
    assert not shipper._tasks
    assert list((tmp_path / "lost+found").iterdir()) == []


async def test_spools_that_are_drained_at_the_same_moment_are_all_counted(tmp_path, shipper, monkeypatch):
    both = threading.Barrier(2)

    def meets(root):
        totals = load_totals(root)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(1)  # if both tasks are in this function at the same time, both have read the totals now
        return totals

    monkeypatch.setattr(serving.capture.shipper, "load_totals", meets)
    directories = [tmp_path / name for name in ("a", "b")]
    for directory in directories:
        directory.mkdir()
    cursor = Cursor(closed=True, number=7)
    stop = asyncio.Event()
    await asyncio.gather(*(shipper._folded(directory, cursor, stop) for directory in directories))
    assert load_totals(tmp_path).accepted == 14
    assert not any(directory.exists() for directory in directories)
