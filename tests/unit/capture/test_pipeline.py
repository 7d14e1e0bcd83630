"""The shipper's pipeline against a broker in memory: order, cursor, retries, and records that cannot be sent."""

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from opentelemetry.trace import SpanKind
from support.conventions import departures, exported
from support.shipping import finish, until
from support.simulated_kafka import SteppedDelivery
from support.spool import TRACE, Spool, a_request, flip_bit, small_settings

from serving.capture import pipeline as pipeline_module
from serving.capture.balance import read_source
from serving.capture.delivery_cursor import CURSOR_FILE, load_cursor
from serving.capture.pipeline import DeliveryLimits
from serving.capture.segment import segment_path, segments
from stream.wire import CorrectionRecord, Feedback, GapRecord, LabelRecord, RequestRecord, Tick, TraceParent


@pytest.fixture
def spool(tmp_path, request):
    made = Spool(tmp_path, settings=small_settings(segment_bytes=getattr(request, "param", 4000)))
    yield made
    made.kill()


@pytest.fixture
def ship_until(spool, ship):
    """Return a function that ships, acknowledges the sent records until the cursor is after record `number`, and stops."""

    async def run(kafka, number):
        _, stop, task = ship(kafka)
        async with asyncio.timeout(10):
            while load_cursor(spool.directory).number < number:
                kafka.take()
                await asyncio.sleep(0.001)
        await finish(stop, task)

    return run


async def test_a_requests_events_share_a_partition_and_feedback_has_its_topic(spool, deliver):
    kafka = SteppedDelivery(partitions=8)
    spool.fill(20, ended=True)
    for number in range(20):
        spool.writer.judge(Feedback(request_id=f"r{number}", tenant="acme", rating="up"), identity="1")
    await deliver(kafka, 60)
    where = {}
    for topic, partition, event in kafka.log:
        where.setdefault(event.correlationid, set()).add(partition)
        assert topic == (kafka.names.feedback if isinstance(event.data, Feedback) else kafka.names.inference)
    assert all(len(partitions) == 1 for partitions in where.values())
    assert len(set().union(*where.values())) > 3


async def test_the_cursor_never_passes_a_record_that_is_not_acknowledged(kafka, spool, ship):
    spool.fill(10)
    pipeline, stop, task = ship(kafka)
    await until(lambda: len(kafka.pending) == 10)
    held = kafka.pending.pop(3)
    kafka.take()
    await until(lambda: pipeline.cursor.number == 3)
    await until(lambda: load_cursor(spool.directory).number == 3)
    kafka.pending.append(held)
    kafka.take()
    await until(lambda: load_cursor(spool.directory).number == 10)
    await finish(stop, task)


async def test_a_shipper_killed_after_saving_the_cursor_and_before_the_unlink_continues_after_its_restart(
    kafka, spool, deliver
):
    spool.fill(40)
    first = segments(spool.directory)
    kept = {index: segment_path(spool.directory, index).read_bytes() for index in first}
    await deliver(kafka, 40)
    assert len(first) > 2
    assert segments(spool.directory) == first[-1:]
    for index, data in kept.items():  # as if the segments had not been unlinked
        segment_path(spool.directory, index).write_bytes(data)
    spool.request("after")
    await deliver(kafka, 1)
    assert [event.correlationid for _, _, event in kafka.log][-1] == "after"
    assert segments(spool.directory) == segments(spool.directory)[-1:]
    assert read_source(spool.directory).delivered == 41


@pytest.mark.parametrize(("most", "limit"), [(16, {"window_frames": 16}), (1, {"window_bytes": 1})])
async def test_in_flight_records_are_bounded(kafka, spool, ship, most, limit):
    spool.fill(200)
    _, stop, task = ship(kafka, DeliveryLimits(poll_seconds=0.001, save_seconds=0, **limit))
    seen = 0
    while seen < 200:
        await until(lambda: kafka.pending)
        assert len(kafka.pending) <= most
        seen += len(kafka.pending)
        kafka.take()
    await finish(stop, task)


async def test_a_producer_without_any_acknowledgement_is_replaced(kafka, spool, ship):
    spool.request("a")
    _, stop, task = ship(kafka, DeliveryLimits(poll_seconds=0.001, save_seconds=0, stall_seconds=0.05))
    await until(lambda: kafka.pending)
    first = kafka.pending[0][0]
    await until(lambda: first.done() and kafka.pending)
    kafka.take()
    await finish(stop, task)
    assert load_cursor(spool.directory).number == 1


async def test_a_producer_that_acknowledges_a_record_now_and_then_is_not_replaced(spool, ship, monkeypatch):
    now = [0.0]

    async def sent(name):
        """Send a record after the clock advanced, so that the pipeline has read the clock."""
        for part in ("one", "two"):
            count = len(kafka.pending)
            spool.request(f"{name} {part}")
            await until(lambda count=count: len(kafka.pending) > count)

    monkeypatch.setattr(pipeline_module, "_now", lambda: now[0])
    kafka = SteppedDelivery()
    lease = await kafka.lease()
    pipeline, stop, task = ship(kafka)
    await sent("a")
    now[0] = 20
    kafka.take(1)
    await until(lambda: pipeline.cursor.number == 1)
    now[0] = 45  # 45 s after the oldest record in flight was sent, and 25 s after an acknowledgement
    await sent("b")
    kafka.take()
    await until(lambda: pipeline.cursor.number == 4)
    now[0] = 200  # no record was in flight
    await sent("c")
    kafka.take()
    await until(lambda: pipeline.cursor.number == 6)
    await finish(stop, task)
    assert not lease.is_lost


async def test_the_records_in_flight_of_a_lost_producer_use_no_space_of_the_next_producer(kafka, spool, ship):
    spool.request("a")
    _, stop, task = ship(kafka, DeliveryLimits(poll_seconds=0.001, save_seconds=0, window_bytes=1))
    await until(lambda: kafka.pending)
    (await kafka.lease()).is_lost = True  # another spool's sends failed, and this send has no result yet
    await until(lambda: len(kafka.pending) == 2)
    kafka.take()
    await finish(stop, task)
    assert load_cursor(spool.directory).number == 1


async def test_a_record_that_the_broker_rejects_is_found_in_its_batch_and_moved_aside(spool, ship_until):
    kafka = SteppedDelivery(partitions=2)
    spool.fill(12)
    kafka.refuses = lambda event: event.correlationid == "r5" and isinstance(event.data, RequestRecord)
    await ship_until(kafka, 12)
    (gap,) = {event.data for _, _, event in kafka.log if isinstance(event.data, GapRecord)}
    assert (gap.first_number, gap.last_number, gap.count) == (6, 6, 1)
    assert (gap.reason, gap.request_ids) == ("oversize", ("r5",))
    assert len(list((spool.root / "aside").iterdir())) == 1
    balance = read_source(spool.directory)
    assert (balance.accepted, balance.delivered, balance.shed, balance.spooled) == (12, 11, 1, 0)


async def test_after_a_rejected_record_many_records_are_in_flight_again(kafka, spool, ship):
    kafka.refuses = lambda event: event.correlationid == "r1"
    spool.fill(3)
    pipeline, stop, task = ship(kafka)
    while pipeline.cursor.number < 3:
        await until(lambda: kafka.pending or pipeline.cursor.number == 3)
        kafka.take()
    spool.fill(5)
    await until(lambda: len(kafka.pending) == 5)
    kafka.take()
    await finish(stop, task)


async def test_a_record_that_the_client_rejects_is_moved_aside(kafka, spool, ship_until, monkeypatch):
    async def limited(lease, *record):
        if b"too long" in record[3]:
            raise MessageSizeTooLargeError
        return await send(lease, *record)

    lease = type(await kafka.lease())
    send = lease.send
    monkeypatch.setattr(lease, "send", limited)
    spool.request("a", "too long")
    spool.request("b")
    await ship_until(kafka, 2)
    (gap,) = [event.data for _, _, event in kafka.log if isinstance(event.data, GapRecord)]
    assert (gap.reason, gap.request_ids) == ("oversize", ("a",))


async def test_feedback_that_the_broker_rejects_counts_as_no_lost_record(kafka, spool, ship_until):
    kafka.refuses = lambda event: isinstance(event.data, Feedback)
    spool.request("a")
    spool.writer.judge(Feedback(request_id="a", tenant="acme", rating="up"), identity="1")
    spool.end("a")
    await ship_until(kafka, 2)
    assert {event.id for _, _, event in kafka.log} == {"a/request", "a/end"}
    balance = read_source(spool.directory)
    assert (balance.accepted, balance.delivered, balance.shed) == (2, 2, 0)


async def test_damage_on_the_disk_becomes_a_gap_record(kafka, spool, ship_until):
    spool.fill(12)
    flip_bit(segment_path(spool.directory, 0), 600)
    await ship_until(kafka, 12)
    (gap,) = [event.data for _, _, event in kafka.log if isinstance(event.data, GapRecord)]
    numbers = {event.data.number for _, _, event in kafka.log if isinstance(event.data, RequestRecord)}
    assert (gap.reason, gap.count) == ("damaged", 1)
    assert numbers == set(range(1, 13)) - {gap.first_number}


async def test_damaged_records_before_idle_ticks_become_a_gap_record(kafka, spool, deliver):
    spool.request("a")
    spool.end("a")
    damaged = spool.writer.size_bytes - 10
    for _ in range(3):
        spool.writer.tick()
    flip_bit(segment_path(spool.directory, 0), damaged)
    await deliver(kafka, 2 + 2 * kafka.partitions)
    (gap,) = [event.data for _, _, event in kafka.log if isinstance(event.data, GapRecord)]
    assert (gap.first_number, gap.count, gap.reason) == (2, 1, "damaged")


async def test_sent_frames_are_synced_before_the_cursor_that_is_after_them(spool, deliver, monkeypatch):
    """Otherwise, after a power loss, the spool ends before its cursor."""
    synced = []

    def sync(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "fdatasync", sync)
    spool.fill(40)
    last = segment_path(spool.directory, segments(spool.directory)[-1])
    await deliver(SteppedDelivery(), 40)
    cursor = max(place for place, path in enumerate(synced) if path.name == CURSOR_FILE)
    assert synced[cursor - 2 : cursor] == [last, spool.directory]


async def test_the_cursor_is_written_once_per_interval_and_after_the_frames_in_flight_at_a_stop(kafka, spool, ship):
    spool.request("a")
    pipeline, stop, task = ship(kafka, DeliveryLimits(poll_seconds=0.001, save_seconds=1e6))
    await until(lambda: kafka.pending)
    kafka.take()
    await until(lambda: pipeline.cursor.number == 1)
    spool.request("b")
    await until(lambda: kafka.pending)
    assert load_cursor(spool.directory).number == 0
    stop.set()
    await asyncio.wait({task}, timeout=0.05)
    kafka.take()
    await task
    assert load_cursor(spool.directory).number == 2


@pytest.mark.parametrize("spool", [4_000_000], indirect=True)
async def test_a_backlog_of_several_reads_is_sent_without_a_pause(kafka, spool, ship):
    spool.fill(300, "x" * 5000)
    _, _, task = ship(kafka, DeliveryLimits(poll_seconds=1e6, save_seconds=0))
    counts = [0]
    async with asyncio.timeout(10):
        while counts[-1] < 300:
            await asyncio.sleep(0)
            counts.append(len(kafka.pending))
    task.cancel()
    await asyncio.wait({task})
    assert max(after - before for before, after in pairwise(counts)) <= 32, "other tasks run between the records"


@pytest.mark.parametrize("spool", [1_000_000], indirect=True)
async def test_consecutive_ticks_are_sent_as_one(spool, deliver):
    kafka = SteppedDelivery(partitions=3)
    for _ in range(50):
        spool.writer.tick()
    spool.request("a")
    spool.writer.tick()
    await deliver(kafka, 7)
    assert [event.correlationid for _, _, event in kafka.log] == ["", "", "", "a", "", "", ""]


async def test_each_record_is_sent_with_one_producer_span_in_its_own_trace(kafka, spool, deliver, spans):
    spool.request("a")
    spool.end("a")
    spool.writer.tick()
    await deliver(kafka, 2 + kafka.partitions)
    finished = {span.context.span_id: span for span in spans.get_finished_spans()}
    assert len(finished) == 2
    assert departures(exported(finished.values())) == []
    origin = TraceParent.parse(TRACE)
    for (_, _, event), headers in zip(kafka.log, kafka.headers, strict=True):
        hops = [value for name, value in headers if name == "traceparent"]
        if isinstance(event.data, Tick):
            assert hops == []
            continue
        (hop,) = (TraceParent.parse(value.decode()) for value in hops)
        span = finished[int(hop.span_id, 16)]
        assert event.traceparent == TRACE
        assert (span.name, span.kind) == ("send weir.inference", SpanKind.PRODUCER)
        assert f"{span.parent.span_id:016x}" == origin.span_id
        assert f"{span.context.trace_id:032x}" == origin.trace_id
        assert span.attributes["messaging.kafka.offset"] in {0, 1}
        assert "hello" not in str(dict(span.attributes))


async def test_a_record_of_a_trace_that_is_not_sampled_keeps_the_trace_and_has_no_span(kafka, spool, deliver, spans):
    unsampled = f"{TRACE[:-2]}00"
    spool.writer.request(a_request("a"), traceparent=unsampled)
    spool.end("a")
    await deliver(kafka, 2)
    hops = [value for headers in kafka.headers for name, value in headers if name == "traceparent"]
    assert hops == [unsampled.encode()] * 2
    assert spans.get_finished_spans() == ()


async def test_a_shipper_killed_after_the_last_cursor_is_closed_after_its_restart(kafka, spool, ship):
    spool.writer.finish()
    _, _, task = ship(kafka)
    await until(lambda: kafka.pending)
    kafka.take()
    await task
    pipeline, _, again = ship(kafka)
    await asyncio.wait_for(again, 10)
    assert pipeline.closed
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stop_without_a_producer_leaves_no_task(kafka, ship, monkeypatch):
    monkeypatch.setattr(kafka, "lease", asyncio.Event().wait)
    _, stop, task = ship(kafka)
    await asyncio.sleep(0)
    await finish(stop, task)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("spool", [2000], indirect=True)
async def test_the_pipeline_does_not_wait_for_an_acknowledgement_of_a_segment_head(kafka, spool, ship):
    """A head is not sent as a record.

    The window can be full after a head, and a head can be first in flight at a stop.
    """
    spool.fill(12)
    assert len(segments(spool.directory)) > 2
    pipeline, stop, task = ship(kafka, DeliveryLimits(poll_seconds=0.001, save_seconds=0, window_frames=1))
    while pipeline.cursor.number < 12:
        await asyncio.wait({task}, timeout=0.001)
        assert not task.done(), task.exception()
        kafka.take()
    await finish(stop, task)


async def test_a_correction_goes_to_inference_and_a_label_to_feedback(spool, deliver):
    kafka = SteppedDelivery(partitions=8)
    owner = {"request_id": "r0", "tenant": "acme", "at": 1.0}
    spool.writer.judge(
        CorrectionRecord(**owner, answer="better"), LabelRecord(**owner, label_id="l", value=1.0), identity="1"
    )
    await deliver(kafka, 2)
    (of_correction, one, correction), (of_label, other, label) = kafka.log
    assert (of_correction, of_label) == (kafka.names.inference, kafka.names.feedback)
    assert (correction.id, label.id, one) == ("r0/correction/1", "r0/label/l/1.000000", other)
