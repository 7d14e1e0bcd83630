import msgspec
import pytest
from support.signal_log import score_tick
from support.source_liveness_log import START, found, rules, tick_lanes, told

from stream.errors import StateUnreadable
from stream.stages.watch.source_liveness import SourceLiveness
from stream.stages.watch.state import decode_liveness
from stream.wire import FindingRecord, decode, encode
from stream.wire.ids import bucket_finding_id

KEY = "_weir\x1f\x1f"


@pytest.fixture
def watch():
    return SourceLiveness(rules(1))


def test_an_inactive_source_has_a_finding_per_bucket_and_clear_findings_after_it_is_active_again():
    (lane,) = tick_lanes(400, {"a": [], "b": [(100, 200)]})
    events = found(SourceLiveness(rules(1)), lane)
    assert told(events) == [("b", 180.0, True), ("b", 210.0, False), ("b", 240.0, False), ("b", 270.0, False)]
    event = events[0]
    assert isinstance(event.data, FindingRecord)
    assert event.id == bucket_finding_id(KEY, "silence/b", event.data.bucket)
    assert (event.data.tenant, event.data.detector, event.data.model, event.data.side) == ("_weir", "silence", "", "")
    assert event.data.details == {"told": START + 99, "told_before": START + 99, "log_time": START + 180}
    assert (event.data.statistic, event.data.limit, event.data.events, event.data.evidence) == (81.0, 60.0, 0, ())
    assert event.partitionkey == KEY
    record = encode(event)
    assert decode(record.value, record.headers) == event


def test_the_finding_is_made_at_the_end_of_a_bucket_60_s_after_the_last_time_of_the_source(watch):
    (lane,) = tick_lanes(200, {"a": [], "b": [(121, 200)]})
    assert found(watch, lane[:179]) == []
    assert told(found(watch, lane[179:180], 179)) == [("b", 180.0, True)]
    (lane,) = tick_lanes(200, {"a": [], "b": [(122, 200)]})
    assert found(SourceLiveness(rules(1)), lane) == [], "59 s have passed at the end of the bucket"


def test_a_source_that_closes_is_not_inactive_and_a_source_that_closes_late_has_clear_findings():
    (lane,) = tick_lanes(400, {"a": [], "b": []}, {"b": 100})
    assert found(SourceLiveness(rules(1)), lane) == []
    (lane,) = tick_lanes(400, {"a": [], "b": [(100, 200)]}, {"b": 200})
    assert [alarm for _, _, alarm in told(found(SourceLiveness(rules(1)), lane))] == [True, False, False, False]


def test_a_source_that_is_connected_again_later_than_the_others_after_an_outage_has_no_finding(watch):
    """Each second, Kafka stores 30 s of the backlog of `a`."""
    (lane,) = tick_lanes(120, {"a": [], "b": []})
    log = [msgspec.structs.replace(event.data, logged=event.time) for event in lane]
    for second in range(1, 31):
        late = {} if second <= 10 else {"b": START + 120 + 30 * (second - 10)}
        tick = score_tick(0, {"a": START + 120 + 30 * second} | late).data
        log.append(msgspec.structs.replace(tick, logged=START + 1020 + second))
    assert [event for offset, tick in enumerate(log) for event in watch.apply(tick, offset)] == []


def test_if_all_sources_are_inactive_there_is_no_finding():
    (lane,) = tick_lanes(1000, {"a": [(100, 900)], "b": [(100, 900)]})
    assert found(SourceLiveness(rules(1)), lane) == []


def test_a_source_that_is_active_in_one_partition_is_not_inactive():
    first, _ = tick_lanes(400, {"a": [], "b": [(100, 250)]}, partitions=2)
    _, second = tick_lanes(400, {"a": [], "b": []}, partitions=2)
    log = [event for pair in zip(first, second, strict=True) for event in pair]
    assert found(SourceLiveness(rules(2)), log) == []


def test_a_clock_that_jumps_by_years_makes_a_bounded_number_of_findings(watch):
    (lane,) = tick_lanes(200, {"a": [], "b": [(50, 200)]})
    events = found(watch, lane)
    assert told(events)
    leap = found(watch, [score_tick(0, {"a": 1e15})], len(lane))
    assert len(leap) <= 256


def test_a_source_that_never_returns_is_forgotten_with_its_state():
    (lane,) = tick_lanes(1000, {"a": [], "b": [(100, 1000)]})
    watch = SourceLiveness(rules(1, forget_seconds=600))
    events = told(found(watch, lane))
    assert [end for _, end, alarm in events if alarm] == [180.0 + 30 * number for number in range(18)]
    assert [end for _, end, alarm in events if not alarm] == [720.0, 750.0, 780.0]
    state = decode_liveness(watch.snapshot())
    assert state.lanes[0].sources.released == {}
    assert state.last == {}


@pytest.mark.parametrize("cut", [1, 150, 165, 179, 180, 215, 399])
def test_a_restored_state_continues_and_duplicate_ticks_are_ignored(watch, cut):
    """All ticks are read again.

    At 165 s, `b` is released, and `c`, which became inactive later, still holds the watermark back.
    """
    (lane,) = tick_lanes(400, {"a": [], "b": [(100, 400)], "c": [(110, 200)]})
    expected = found(SourceLiveness(rules(1)), lane)
    assert ("c", 180.0, True) in told(expected)
    before = found(watch, lane[:cut])
    again = SourceLiveness(rules(1), decode_liveness(watch.snapshot()))
    assert again.offset == cut - 1
    assert before + found(again, lane) == expected


def test_the_state_is_written_at_the_first_tick_and_at_the_end_of_each_bucket(watch):
    (lane,) = tick_lanes(100, {"a": []})
    written = []
    for offset, tick in enumerate(lane):
        watch.apply(tick.data, offset)
        if watch.dirty:
            watch.snapshot()
            written.append(offset + 1)
    assert written == [1, 30, 60, 90]


@pytest.mark.parametrize("other", [{"bucket_seconds": 5.0}, {"partitions": 2}])
def test_a_state_of_other_buckets_or_partitions_is_an_error(other):
    state = decode_liveness(SourceLiveness(rules(1)).snapshot())
    with pytest.raises(StateUnreadable, match="rebuilt from the log"):
        SourceLiveness(msgspec.structs.replace(rules(1), **other), state)


def test_a_tick_of_a_partition_that_does_not_exist_is_ignored(watch):
    assert watch.apply(score_tick(7, {"a": START}).data, 0) == []
    assert watch.apply(score_tick(-1, {"a": START}).data, 1) == []
    assert decode_liveness(watch.snapshot()).lanes[0].sources.sources == {}


def test_the_state_stays_small_while_one_partition_is_hours_behind_the_others():
    """Kafka rejects a state of more than 1 MiB, and then watch would fail at each start."""
    names = [f"weir-gateway-7f6c5d4b8-{number:02}" for number in range(20)]
    fast, slow = tick_lanes(7200, {"a": []} | {name: [(100, 7000)] for name in names}, partitions=2)
    watch, whole = SourceLiveness(rules(2)), SourceLiveness(rules(2))
    log = [*slow[:300], *fast, *slow[300:]]
    cut = 300 + len(fast)
    before = found(watch, log[:cut])
    stored = watch.snapshot()
    assert len(stored) < 10_000
    again = SourceLiveness(rules(2), decode_liveness(stored))
    assert [*before, *found(again, log[cut:], cut)] == found(whole, log)
    assert len(before) < len(names) * 10
