"""The spool writer: record numbers, space and policies, checked by reading the spool."""

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from support.spool import NUMBERED, TRACE, Spool, a_request, events_of, frames_of, no_file_beyond, small_settings

from serving.capture.balance import read_source
from serving.capture.clock import SourceClock
from serving.capture.metrics import RecorderMetrics
from serving.capture.open_gap import GAP_RECORD_BYTES
from serving.capture.segment import HEADER_BYTES, MAX_OPEN_BYTES, Kind, head_of, segments
from serving.errors import SpoolFull
from serving.settings import CaptureSettings
from stream.telemetry import MAX_TRACESTATE_BYTES
from stream.wire import (
    ABORTED_TYPE,
    Choice,
    Closed,
    Feedback,
    GapRecord,
    ReasoningPart,
    RequestRecord,
    ResponseRecord,
    TextPart,
    Tick,
    ToolCallPart,
)

SMALL = small_settings(limit_bytes=200_000)


@pytest.fixture
def make(tmp_path):
    spools = []

    def make_spool(**options):
        spools.append(Spool(tmp_path, **options))
        return spools[-1]

    yield make_spool
    for spool in spools:
        spool.kill()


@pytest.fixture
def spool(make):
    return make()


def test_events_have_the_attributes_of_the_contract_and_only_requests_and_ends_a_number(spool):
    assert spool.request("a") == 1
    spool.writer.judge(Feedback(request_id="a", tenant="acme", rating="up"), identity="1")
    spool.end("a")
    assert spool.request("b") == 3
    events = events_of(spool.directory)
    assert [getattr(event.data, "number", None) for event in events] == [1, 0, 2, 3]
    request, _, end, _ = events
    assert (request.id, request.correlationid, request.subject, request.source) == ("a/request", "a", "a", spool.source)
    assert (end.id, end.causationid, end.traceparent) == ("a/end", "a/request", request.traceparent)
    assert request.partitionkey == end.partitionkey


def test_only_the_first_end_of_a_request_is_written_and_an_end_without_a_request_is_ignored(spool):
    spool.request("a")
    assert spool.end("a", "first")
    assert not spool.end("a", "second")
    assert not spool.end("never seen")
    _, end = events_of(spool.directory)
    assert end.data.text == "first"


def test_times_never_decrease_and_a_tick_is_no_older_than_the_records_before_it(make):
    wall = iter([1000.0, 990.0, 2000.0, 5.0, 1500.0, 2000.5, 3000.0, 0.0] * 10)
    spool = make(clock=SourceClock(wall=lambda: next(wall), monotonic=lambda: 0.0))
    for number in range(20):
        spool.request(f"r{number}")
        spool.writer.tick()
    events = events_of(spool.directory)
    times = [event.time for event in events]
    assert times == sorted(times)
    ticks = [(position, event) for position, event in enumerate(events) if isinstance(event.data, Tick)]
    assert len(ticks) == 20
    for position, tick in ticks:
        assert max(times[: position + 1]) <= tick.data.sources[spool.source] <= min(times[position:])


def test_segments_are_closed_at_their_size_and_each_begins_with_the_state_before_it(make):
    spool = make(settings=CaptureSettings(segment_bytes=4000))
    spool.fill(30)
    assert len(segments(spool.directory)) > 3
    frames = frames_of(spool.directory)
    before = 0
    for frame in frames:
        assert frame.number == (before + 1 if frame.kind in NUMBERED else before)
        before = frame.number


def check_numbers(events):
    """Check that the numbers are consecutive, with each gap record at the position of its numbers."""
    covered = 0
    for event in events:
        if isinstance(event.data, GapRecord):
            assert event.data.first_number == covered + 1
            assert event.data.count == event.data.last_number - covered
            covered = event.data.last_number
        elif not isinstance(event.data, Tick):
            assert event.data.number == covered + 1
            covered += 1


def test_a_full_spool_sheds_and_counts_requests_and_keeps_space_for_the_ends_of_the_others(make):
    spool = make(settings=SMALL)
    names = [f"r{number}" for number in range(40)]
    for name in names:
        spool.request(name, "x" * 2000)
    assert spool.writer.full
    assert spool.writer.writable
    assert spool.writer.used_bytes <= SMALL.limit_bytes
    for name in names:
        spool.end(name, "y" * 2000)
    spool.writer.tick()
    events = events_of(spool.directory)
    check_numbers(events)
    recorded = {event.correlationid for event in events if isinstance(event.data, RequestRecord)}
    ended = {event.correlationid for event in events if isinstance(event.data, ResponseRecord)}
    gaps = [event.data for event in events if isinstance(event.data, GapRecord)]
    assert 0 < len(recorded) < 40
    assert recorded <= ended
    assert {gap.reason for gap in gaps} == {"full"}
    named = [name for gap in gaps for name in gap.request_ids]
    assert set(names) - recorded <= set(named)
    assert sum(gap.count for gap in gaps) == len(named) == 80 - len(recorded) - len(ended)
    assert spool.writer.size_bytes <= SMALL.limit_bytes


def test_a_full_spool_with_the_policy_reject_accepts_nothing_and_names_the_setting(make):
    spool = make(settings=SMALL.model_copy(update={"on_full": "reject"}))
    accepted = []
    with pytest.raises(SpoolFull, match=r"capture\.limit_bytes") as refusal:  # noqa: PT012 - the spool decides which request it rejects
        for number in range(1000):
            spool.request(f"r{number}", "x" * 2000)
            accepted.append(f"r{number}")
    assert refusal.value.retry_after_seconds > 0
    assert not spool.writer.writable
    assert spool.writer.last_number == len(accepted)
    for name in accepted:
        spool.end(name)
    balance = read_source(spool.directory)
    assert (balance.accepted, balance.shed) == (2 * len(accepted), 0)


@pytest.mark.parametrize("on_full", ["shed", "reject"])
def test_space_that_the_shipper_frees_is_reused(make, on_full):
    spool = make(settings=small_settings(limit_bytes=SMALL.limit_bytes, on_full=on_full, segment_bytes=20_000))
    for number in range(1000):
        try:
            spool.request(f"r{number}", "x" * 2000)
            spool.end(f"r{number}")
        except SpoolFull:
            break
        if spool.writer.full:
            break
    assert spool.writer.full
    for index in segments(spool.directory)[:-1]:
        (spool.directory / f"{index:012d}.seg").unlink()
    spool.writer.recount()
    last = spool.request("again")
    assert not spool.writer.full
    assert spool.writer.writable
    assert events_of(spool.directory)[-1].data.number == last


def test_if_one_segment_fills_the_spool_a_new_segment_begins_so_that_the_full_one_can_be_freed(make):
    spool = make(settings=small_settings(limit_bytes=120_000, segment_bytes=10**9))
    spool.fill(100, "x" * 2000, ended=True)
    assert len(segments(spool.directory)) >= 3
    for index in segments(spool.directory)[:-1]:
        (spool.directory / f"{index:012d}.seg").unlink()
    (last,) = segments(spool.directory)
    spool.writer.recount()
    assert segments(spool.directory) == [last, last + 1]


def test_feedback_is_rejected_and_not_shed(make):
    spool = make(settings=small_settings(limit_bytes=120_000))
    spool.fill(100, "x" * 2000)
    with pytest.raises(SpoolFull):
        spool.writer.judge(Feedback(request_id="a", tenant="acme", rating="z" * 120_000), identity="1")


def test_if_the_disk_fills_up_between_two_feedback_records_neither_is_kept(spool):
    spool.request("a")
    both = [Feedback(request_id="a", tenant="acme", rating=rating) for rating in ("up", "down")]
    spool.writer.judge(both[0], identity="1")
    (*_, one) = frames_of(spool.directory)
    room = HEADER_BYTES + len(one.payload)
    with no_file_beyond(spool.writer.size_bytes + room + 10), pytest.raises(SpoolFull, match="free or repair its disk"):
        spool.writer.judge(*both, identity="2")
    spool.writer.judge(*both, identity="3")
    assert [event.data.rating for event in events_of(spool.directory)[1:]] == ["up", "up", "down"]


def test_a_record_that_is_too_large_for_a_broker_is_moved_aside_and_counted(spool):
    spool.writer.request(a_request("huge", parameters={"stop": "x" * 1_000_001}), traceparent=TRACE)
    spool.end("huge")
    spool.writer.tick()
    gap, end, _ = events_of(spool.directory)
    assert (gap.data.reason, gap.data.request_ids, gap.data.count) == ("oversize", ("huge",), 1)
    assert end.data.number == 2
    assert [path.stat().st_size > 1_000_000 for path in (spool.root / "aside").iterdir()] == [True]


def test_an_answer_larger_than_the_reserve_of_a_full_spool_is_shortened_to_the_reserve(make):
    spool = make(settings=small_settings(limit_bytes=400_000, end_reserve_bytes=20_000))
    spool.request("a")
    spool.fill(300, "x" * 2000, ended=True)
    assert spool.writer.full
    spool.end("a", "begin " + "y" * 180_000)
    end = next(event for event in events_of(spool.directory) if event.id == "a/end")
    assert end.data.text.startswith("begin y")
    assert 0.1 < end.data.recorded < 0.12
    assert spool.writer.size_bytes <= 400_000


def test_an_end_has_its_reserved_space_after_ticks_filled_the_spool(make):
    spool = make(settings=small_settings(limit_bytes=120_000))
    spool.request("a")
    for _ in range(500):
        spool.writer.tick()
    assert spool.writer.size_bytes <= 120_000
    spool.end("a")
    assert events_of(spool.directory)[-1].id == "a/end"


def test_a_spool_that_sheds_because_of_open_requests_is_full_by_its_metrics(make):
    spool = make(settings=small_settings(limit_bytes=4_000_000))
    spool.fill(20)
    while not spool.writer.full:
        spool.request("a", "x" * 20_000)
        spool.end("a")
    registry = CollectorRegistry()
    RecorderMetrics(registry, 4_000_000).observe(spool.writer)
    assert spool.writer.size_bytes < 0.7 * 4_000_000
    assert registry.get_sample_value("weir_capture_gateway_spool_bytes") > 0.95 * 4_000_000


def test_a_disk_that_fills_up_mid_frame_leaves_no_torn_frame_and_sheds(spool):
    spool.request("a")
    size = spool.writer.size_bytes
    with no_file_beyond(size + 100):
        assert spool.request("b", "x" * 5000) == 2
        spool.end("a")
    assert not spool.writer.writable
    assert spool.writer.size_bytes == size == (spool.directory / "000000000000.seg").stat().st_size
    balance = read_source(spool.directory)
    assert (balance.accepted, balance.shed, balance.spooled) == (3, 2, 1)
    spool.end("b")
    assert spool.writer.writable
    (gap,) = [event.data for event in events_of(spool.directory) if isinstance(event.data, GapRecord)]
    assert (gap.first_number, gap.last_number, gap.reason, gap.request_ids) == (2, 3, "disk", ("b", "a"))


def test_records_that_were_shed_before_a_segment_are_in_its_head(make):
    spool = make(settings=CaptureSettings(segment_bytes=4000))
    with no_file_beyond(spool.writer.size_bytes):
        spool.request("shed")
    spool.fill(30)
    balance = read_source(spool.directory)
    assert (balance.accepted, balance.shed, balance.spooled) == (31, 1, 30)


def test_with_the_policy_reject_a_full_disk_rejects_requests_and_recovers(make):
    spool = make(settings=CaptureSettings(on_full="reject"))
    spool.request("a")
    with no_file_beyond(spool.writer.size_bytes + 100), pytest.raises(SpoolFull, match="free or repair its disk"):
        spool.request("b", "x" * 5000)
    assert spool.request("c") == 2
    assert spool.writer.writable
    assert [event.correlationid for event in events_of(spool.directory)] == ["a", "c"]


def test_finishing_aborts_requests_without_an_end_and_then_closes(spool):
    for name in "abc":
        spool.request(name)
    spool.end("b")
    spool.writer.finish()
    *_, first, second, closed = events_of(spool.directory)
    for event, name in ((first, "a"), (second, "c")):
        assert (event.type, event.correlationid, event.data.status) == (ABORTED_TYPE, name, "aborted")
        assert event.data.owed == ()
    assert isinstance(closed.data, Closed)
    assert closed.data.time >= second.time


@pytest.mark.parametrize(
    ("text", "written_text"),
    [("", 'Ann\'s number is 5550100\n{"to": "Ann"}'), ("Hel", "Hel")],
)
def test_an_aborted_end_has_its_type_and_keeps_the_text_or_else_the_text_of_the_other_parts(spool, text, written_text):
    """Without expected verdicts, the end would be read as the substitute end of a dead source."""
    spool.request("a")
    parts = (ReasoningPart(content="Ann's number is 5550100"), ToolCallPart(name="call", arguments='{"to": "Ann"}'))
    record = ResponseRecord(
        request_id="a",
        tenant="acme",
        model="m",
        status="aborted",
        messages=(Choice(parts=(*parts, TextPart(content=text)) if text else parts),),
        owed=("pii", "toxicity"),
    )
    spool.writer.end(record)
    event = events_of(spool.directory)[-1]
    written = event.data
    assert (event.type, written.text, written.owed) == (ABORTED_TYPE, written_text, ("pii", "toxicity"))
    assert [part.text for _, _, part in written.located_parts()] == [written_text]


def heads_of(directory):
    return [frame for frame in frames_of(directory) if frame.kind == Kind.HEAD]


def test_a_huge_tracestate_is_not_written_to_the_spool(spool):
    for number in range(160):
        spool.writer.request(a_request(f"r{number}"), traceparent=TRACE, tracestate="k=" + "v" * 110_000)
    for number in range(160):
        spool.end(f"r{number}")
    assert spool.writer.size_bytes < 1024 * 1024
    assert {event.tracestate for event in events_of(spool.directory)} == {""}
    assert {event.traceparent for event in events_of(spool.directory)} == {TRACE}


def test_a_tracestate_of_512_bytes_is_kept(spool):
    kept = f"a={'v' * 254},b={'v' * 253}"
    assert len(kept) == MAX_TRACESTATE_BYTES
    spool.writer.request(a_request("a"), traceparent=TRACE, tracestate=kept)
    spool.writer.request(a_request("b"), traceparent=TRACE, tracestate=f"{kept}v")
    spool.end("a")
    assert [event.tracestate for event in events_of(spool.directory)] == [kept, "", kept]


def test_heads_use_at_most_half_of_the_spool_with_any_number_of_open_requests(make):
    spool = make(settings=CaptureSettings(segment_bytes=4000, end_reserve_bytes=4096))
    spool.fill(300)
    assert len(segments(spool.directory)) > 4
    *finished, last = heads_of(spool.directory)
    assert 2 * sum(len(frame.payload) + HEADER_BYTES for frame in finished) < spool.writer.size_bytes
    assert len(head_of(last).open) > 100


@pytest.mark.parametrize("field", ["model", "model_version", "principal", "conversation_id", "operation"])
def test_a_request_whose_names_are_too_large_for_a_head_is_moved_aside_and_counted(make, field):
    spool = make(settings=CaptureSettings(segment_bytes=1))
    spool.writer.request(a_request("named", **{field: "n" * MAX_OPEN_BYTES}), traceparent=TRACE)
    spool.request("next")
    spool.request("last")
    gap, *_ = events_of(spool.directory)
    assert (gap.data.reason, gap.data.request_ids) == ("oversize", ("named",))
    assert [request.request_id for request in head_of(heads_of(spool.directory)[-1]).open] == ["next"]


def test_the_longest_names_that_the_gateway_accepts_fit_into_a_head(spool):
    names = {"tenant": "t" * 64, "principal": "k" * 64, "model": "m" * 256, "model_version": "v" * 256}
    longest = a_request("0" * 36, **names, conversation_id="\N{GRINNING FACE}" * 512, operation="text_completion")
    spool.writer.request(longest, traceparent=TRACE, tracestate="v" * MAX_TRACESTATE_BYTES)
    assert [event.data for event in events_of(spool.directory)] == [msgspec.structs.replace(longest, number=1)]


def test_an_end_that_cannot_be_encoded_does_not_return_its_space_twice(make):
    spool = make(settings=small_settings(limit_bytes=10**6))
    spool.request("a")
    spool.request("b")
    with pytest.raises(UnicodeEncodeError):
        spool.end("a", "\ud800")
    assert spool.end("a", "")
    spool.writer.tick()
    used = events_of(spool.directory)[-1].data.spool
    assert used == pytest.approx((4096 + GAP_RECORD_BYTES) / 10**6, abs=0.01)  # the space for the end of b
