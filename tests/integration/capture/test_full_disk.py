"""A disk that is really full: a small tmpfs, where the machine lets us mount one (F10)."""

import subprocess

import pytest
from prometheus_client import CollectorRegistry
from support.spool import TRACE, a_request, an_end, events_of

from serving.capture import Recorder, read_balance
from serving.capture.adopt import adopt
from serving.capture.cursor import Cursor
from serving.capture.reader import SpoolReader
from serving.errors import SpoolFull
from serving.settings import CaptureSettings
from stream.wire import GapRecord, RequestRecord, ResponseRecord


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(
            "this machine lets nobody mount a tmpfs; tests/unit/capture/test_writer.py has the kernel refuse writes"
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


async def test_shed_on_a_full_disk_is_counted_whatever_happens_to_the_gateway(small_disk):
    recorder = Recorder(root=small_disk / "spool", settings=CaptureSettings(), registry=CollectorRegistry())
    recorder.start()
    directory = small_disk / "spool" / recorder.source
    await recorder.request(a_request("before"), traceparent=TRACE)
    others = fill(small_disk)
    for number in range(3000):
        await recorder.request(a_request(f"full-{number}", "x" * 5000), traceparent=TRACE)
        await recorder.end(an_end(f"full-{number}"), traceparent=TRACE)
    assert not recorder.writable()
    full = read_balance(small_disk / "spool")
    assert full.accepted == 6001
    assert full.shed >= 5990
    others.unlink()
    await recorder.request(a_request("after"), traceparent=TRACE)
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


async def test_reject_on_a_full_disk_refuses_and_recovers(small_disk):
    settings = CaptureSettings(on_full="reject")
    with Recorder(root=small_disk / "spool", settings=settings, registry=CollectorRegistry()) as recorder:
        others = fill(small_disk)
        refused = 0
        for number in range(50):
            try:
                await recorder.request(a_request(f"r{number}", "x" * 9000), traceparent=TRACE)
            except SpoolFull:
                refused += 1
        assert refused > 0
        assert read_balance(small_disk / "spool").accepted == 50 - refused
        others.unlink()
        await recorder.request(a_request("after"), traceparent=TRACE)
        assert recorder.writable()
