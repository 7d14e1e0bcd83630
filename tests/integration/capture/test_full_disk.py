"""A full disk (F10): a small tmpfs, if the machine permits the mount."""

import asyncio
import subprocess

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support.simulated_kafka import SteppedDelivery
from support.spool import TRACE, a_request, an_end, events_of

from serving.capture.adopt_spool import adopt
from serving.capture.balance import read_balance
from serving.capture.delivery_cursor import Cursor
from serving.capture.metrics import ShipperMetrics
from serving.capture.pipeline import Pipeline
from serving.capture.recorder import Recorder
from serving.capture.segment import segments
from serving.capture.shipper import Shipper, read_shipper_status
from serving.capture.spool_reader import SpoolReader
from serving.settings import CaptureSettings
from stream.wire import GapRecord, RequestRecord, ResponseRecord, TopicNames


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(
            "a tmpfs cannot be mounted on this machine; in tests/unit/capture/test_spool_writer.py the kernel rejects writes"
        )
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Fill the disk to its last byte; return the file to remove."""
    path = folder / "others"
    with path.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
    return path


async def test_records_shed_on_a_full_disk_are_counted_in_gap_records(small_disk):
    recorder = Recorder(root=small_disk / "spool", settings=CaptureSettings(), registry=CollectorRegistry())
    recorder.start()
    directory = small_disk / "spool" / recorder.source
    recorder.request(a_request("before"), traceparent=TRACE)
    others = fill(small_disk)
    for number in range(3000):
        recorder.request(a_request(f"full-{number}", "x" * 5000), traceparent=TRACE)
        recorder.end(an_end(f"full-{number}"))
    assert not recorder.writable()
    full = read_balance(small_disk / "spool")
    assert full.accepted == 6001
    assert full.shed >= 5990
    others.unlink()
    recorder.request(a_request("after"), traceparent=TRACE)
    assert recorder.writable()
    recorder.close()
    assert adopt(directory, recorder.source) is None
    balance = read_balance(small_disk / "spool")
    events = events_of(directory)
    gaps = [event.data for event in events if isinstance(event.data, GapRecord)]
    written = [event for event in events if isinstance(event.data, RequestRecord | ResponseRecord)]
    assert sum(gap.count for gap in gaps) == balance.shed == 6001 + 3 - len(written)
    assert {"before", "after"} <= {event.correlationid for event in written}
    reader = SpoolReader(directory, Cursor())
    assert [item.missing for item in reader.read() if item.missing] == []
    reader.close()


async def test_a_spool_that_has_filled_its_own_disk_is_drained_and_freed(small_disk):
    """Only the shipper can free the disk, and it removes a segment only after it has saved its cursor."""
    root = small_disk / "spool"
    settings = CaptureSettings(segment_bytes=256_000)
    with Recorder(root=root, settings=settings, registry=CollectorRegistry()) as recorder:
        for number in range(400):
            recorder.request(a_request(f"r{number}", "x" * 5000), traceparent=TRACE)
            recorder.end(an_end(f"r{number}"))
        full = read_balance(root)
        assert full.shed > 0
        fill(small_disk)
        kafka = SteppedDelivery()
        telemetry = {"tracer": TracerProvider().get_tracer("t"), "metrics": ShipperMetrics(CollectorRegistry())}
        pipeline = Pipeline(root / recorder.source, kafka, **telemetry)
        stop = asyncio.Event()
        task = asyncio.create_task(pipeline.run(stop))
        async with asyncio.timeout(20):
            while read_balance(root).spooled:
                kafka.take()
                await asyncio.sleep(0.01)
                assert not task.done(), task.exception()
        assert len(segments(root / recorder.source)) == 1
        stop.set()
        await task
        async with asyncio.timeout(20):
            while not recorder.writable():  # noqa: ASYNC110 - the recorder has no event
                await asyncio.sleep(0.01)


def test_the_shipper_reports_an_unreachable_kafka_on_a_full_disk(small_disk):
    names, registry = TopicNames("weir."), CollectorRegistry()
    shipper = Shipper(small_disk, {}, names=names, partitions=1, registry=registry, tracer_provider=TracerProvider())
    others = fill(small_disk)
    shipper._report("KafkaConnectionError: gone")
    assert registry.get_sample_value("weir_capture_kafka_reachable") == 0
    others.unlink()
    shipper._report("KafkaConnectionError: still gone")
    assert read_shipper_status(small_disk).reason == "KafkaConnectionError: still gone"
