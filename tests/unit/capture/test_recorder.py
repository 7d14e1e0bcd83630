"""The recorder of a gateway, with its keeper thread running."""

import time

import pytest
from prometheus_client import CollectorRegistry
from support.spool import TRACE, a_request, an_end, events_of, lock_of

from serving.capture.balance import Balance, read_balance
from serving.capture.recorder import Recorder
from serving.capture.segment import segments
from serving.errors import SpoolFull, SpoolUnavailable
from serving.settings import CaptureSettings
from stream.wire import Closed

FAST = CaptureSettings(sync_seconds=0.005, tick_seconds=0.02)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def recorder(tmp_path, registry):
    with Recorder(root=tmp_path, settings=FAST, registry=registry) as running:
        yield running


def directory_of(recorder, tmp_path):
    return tmp_path / recorder.source


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


async def test_a_record_is_in_the_spool_when_the_call_returns(recorder, tmp_path):
    recorder.request(a_request("a"), traceparent=TRACE, tracestate="k=v")
    (event,) = [event for event in events_of(directory_of(recorder, tmp_path)) if event.correlationid == "a"]
    assert (event.type, event.traceparent, event.tracestate) == ("weir.inference.request.v2", TRACE, "k=v")
    recorder.end(an_end("a"))
    event = [event for event in events_of(directory_of(recorder, tmp_path)) if event.correlationid == "a"][-1]
    assert (event.type, event.traceparent, event.tracestate) == ("weir.inference.response.v2", TRACE, "k=v")


def test_each_recorder_has_its_own_source_name(tmp_path):
    settings = CaptureSettings()
    with (
        Recorder(root=tmp_path, settings=settings, registry=CollectorRegistry()) as one,
        Recorder(root=tmp_path, settings=settings, registry=CollectorRegistry()) as other,
    ):
        assert one.source != other.source
        assert one.source.startswith("gateway-")
        assert lock_of(directory_of(one, tmp_path)) is None


async def test_closing_ends_the_source_and_releases_its_lock(recorder, tmp_path):
    recorder.request(a_request("a"), traceparent=TRACE)
    recorder.close()
    recorder.close()
    *_, aborted, closed = events_of(directory_of(recorder, tmp_path))
    assert (aborted.id, aborted.data.status) == ("a/end", "aborted")
    assert isinstance(closed.data, Closed)
    lock = lock_of(directory_of(recorder, tmp_path))
    assert lock is not None
    lock.release()
    assert not recorder.writable()
    recorder.end(an_end("a"))
    with pytest.raises(SpoolUnavailable):
        recorder.request(a_request("b"), traceparent=TRACE)


async def test_the_balance_is_read_from_the_disk(recorder, tmp_path):
    for number in range(5):
        recorder.request(a_request(f"r{number}"), traceparent=TRACE)
    balance = read_balance(tmp_path)
    assert (balance.accepted, balance.delivered, balance.spooled, balance.shed) == (5, 0, 5, 0)
    assert balance.oldest_age_seconds > 0


def test_ticks_do_not_wait_for_the_next_sync(tmp_path, registry):
    settings = CaptureSettings(sync_seconds=3600, tick_seconds=0.02)
    with Recorder(root=tmp_path, settings=settings, registry=registry) as recorder:
        until(lambda: len(events_of(directory_of(recorder, tmp_path))) > 3)


def test_before_anything_runs_the_balance_is_empty(tmp_path):
    assert read_balance(tmp_path / "nowhere") == Balance()


async def test_the_recorder_becomes_writable_after_the_shipper_frees_space(tmp_path, registry):
    settings = CaptureSettings(
        limit_bytes=400_000, end_reserve_bytes=10_000, segment_bytes=50_000, on_full="reject", sync_seconds=0.005
    )
    with Recorder(root=tmp_path, settings=settings, registry=registry) as recorder:
        with pytest.raises(SpoolFull) as refusal:  # noqa: PT012 - the spool decides which request it rejects
            for number in range(1000):
                recorder.request(a_request(f"r{number}", "x" * 9000), traceparent=TRACE)
                recorder.end(an_end(f"r{number}"))
        assert refusal.value.retry_after_seconds >= 1
        assert registry.get_sample_value("weir_capture_refused_total") == 1
        assert not recorder.writable()
        directory = directory_of(recorder, tmp_path)
        for index in segments(directory)[:-1]:
            (directory / f"{index:012d}.seg").unlink()
        until(recorder.writable)
        recorder.request(a_request("again"), traceparent=TRACE)


async def test_metrics_count_appends_and_open_requests(recorder, registry):
    recorder.request(a_request("a"), traceparent=TRACE)
    recorder.request(a_request("b"), traceparent=TRACE)
    recorder.end(an_end("a"))
    assert registry.get_sample_value("weir_capture_append_seconds_count") == 3
    assert registry.get_sample_value("weir_capture_open_requests") == 1
    assert registry.get_sample_value("weir_capture_gateway_spool_bytes") > 0


def test_a_folder_that_cannot_be_created_is_named_with_the_remedy(tmp_path, registry):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnavailable, match="WEIR_HOME"):
        Recorder(root=tmp_path / "file" / "spool", settings=FAST, registry=registry).start()
