"""The shipper's round over the spools, without a broker."""

import asyncio

import pytest
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry
from support.spool import Spool

import serving.capture.shipper
from serving.capture.shipper import Shipper, fold
from stream.wire import TopicNames


@pytest.fixture
def shipper(tmp_path):
    return Shipper(
        tmp_path,
        {"bootstrap_servers": "127.0.0.1:1"},
        names=TopicNames(),
        partitions=1,
        registry=CollectorRegistry(),
        tracer_provider=NoOpTracerProvider(),
    )


async def test_a_spool_that_is_shipped_and_removed_during_a_round_does_not_end_the_shipper(
    tmp_path, shipper, monkeypatch
):
    spools = [Spool(tmp_path), Spool(tmp_path)]
    for spool in spools:
        spool.kill()
    first, second = serving.capture.shipper.source_directories(tmp_path)
    adopt = serving.capture.shipper.adopt

    def slow(directory, source):
        assert source == first
        fold(tmp_path, tmp_path / second, serving.capture.shipper.Cursor(closed=True))
        return adopt(directory, source)

    monkeypatch.setattr(serving.capture.shipper, "adopt", slow)
    await shipper._scan(asyncio.Event())
    assert list(shipper._tasks) == [first]
    await serving.capture.shipper._end(shipper._tasks.values(), 0)
    shipper._locks[first].release()
