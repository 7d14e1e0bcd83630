from random import Random

import msgspec
import pytest

from stream.errors import StateUnreadable
from stream.stages.shared.state_codec import encode
from stream.stages.watch.state import SourcesState, decode_sources, order, sources_key
from stream.stages.watch.watermark import Watermark
from stream.wire import Tick


def tick(partition, closed=(), logged=None, **sources):
    return Tick(stage="score", partition=partition, sources=sources, closed=closed, logged=logged)


@pytest.fixture
def watermark():
    return Watermark(1, 60)


def test_a_new_stage_has_no_watermark_before_a_tick_of_every_partition():
    watermark = Watermark(3, 60)
    assert not watermark.apply(tick(0, a=10.0))
    assert not watermark.apply(tick(2, a=12.0))
    assert watermark.value is None
    assert watermark.apply(tick(1, a=11.0))
    assert watermark.value == 10.0


def test_the_watermark_is_the_minimum_over_sources_and_partitions_and_never_decreases():
    watermark = Watermark(2, 60)
    watermark.apply(tick(0, a=10.0, b=8.0))
    watermark.apply(tick(1, a=10.0, b=9.0))
    assert watermark.value == 8.0
    assert not watermark.apply(tick(0, c=1.0)), "a new source with older times does not lower the watermark"
    assert watermark.value == 8.0
    assert watermark.lag_seconds == 2.0


def test_a_closed_source_whose_clock_was_ahead_no_longer_counts_as_lag(watermark):
    watermark.apply(tick(0, a=10.0, ahead=86_410.0))
    assert watermark.lag_seconds == 86_400.0
    watermark.apply(tick(0, a=11.0, closed=("ahead",)))
    assert (watermark.value, watermark.lag_seconds) == (11.0, 0.0)


def test_a_watermark_that_is_ahead_of_every_live_source_has_no_lag(watermark):
    watermark.apply(tick(0, ahead=86_410.0))
    watermark.apply(tick(0, closed=("ahead",)))
    watermark.apply(tick(0, a=11.0))
    assert (watermark.value, watermark.lag_seconds) == (86_410.0, 0.0)


def run(watermark, names, first, last, partitions=2):
    for second in range(first, last + 1):
        for partition in range(partitions):
            watermark.apply(tick(partition, **{name: float(second) for name in names}))


def test_an_inactive_source_does_not_hold_back_the_watermark_after_its_limit():
    watermark = Watermark(2, 60)
    run(watermark, "ab", 1, 10)
    run(watermark, "a", 11, 69)
    assert watermark.value == 10.0
    assert watermark.released() == set()
    run(watermark, "a", 70, 71)
    assert watermark.value == 71.0
    assert watermark.released() == {"b"}


def after_an_outage(lost):
    """Apply the backlog of `a`, of which Kafka stores 30 s in each second; `b` is connected again after `lost` seconds."""
    watermark = Watermark(1, 60)
    for second in range(121):
        watermark.apply(tick(0, logged=1000.0 + second, a=float(second), b=float(second)))
    for second in range(1, lost + 1):
        watermark.apply(tick(0, logged=1720.0 + second, a=min(120.0 + 30 * second, 720.0 + second)))
    return watermark


def test_a_source_that_is_connected_again_later_than_the_others_after_an_outage_is_not_released():
    watermark = after_an_outage(lost=40)
    assert watermark.released() == set()
    assert watermark.value == 120.0
    watermark.apply(tick(0, logged=1761.0, a=761.0, b=150.0))
    assert watermark.value == 150.0
    assert after_an_outage(lost=61).released() == {"b"}


@pytest.mark.parametrize("burst", [2, 10])
def test_a_source_is_released_after_the_same_time_if_kafka_stores_the_ticks_in_bursts(watermark, burst):
    watermark.apply(tick(0, logged=1000.0, a=0.0, b=0.0))
    released = None
    for second in range(1, 100):
        watermark.apply(tick(0, logged=1000.0 + -(-second // burst) * burst, a=float(second)))
        released = second if released is None and watermark.released() else released
    assert released == 60


def test_if_the_clock_of_kafka_goes_back_the_next_steps_count(watermark):
    watermark.apply(tick(0, logged=9000.0, a=0.0, b=0.0))
    for second in range(1, 62):
        watermark.apply(tick(0, logged=1000.0 + second, a=float(second)))
    assert watermark.released() == {"b"}


def test_a_released_source_holds_back_the_watermark_again_after_it_is_active(watermark):
    run(watermark, "ab", 1, 10, 1)
    run(watermark, "a", 11, 80, 1)
    run(watermark, "b", 81, 81, 1)
    run(watermark, "a", 82, 90, 1)
    assert watermark.value == 81.0
    assert watermark.released() == set()


def test_a_source_that_is_far_behind_does_not_hold_back_the_watermark_until_it_has_caught_up(watermark):
    run(watermark, "a", 1000, 1010, 1)
    for second in range(1, 20):
        watermark.apply(tick(0, a=1010.0 + second, b=10.0 + second))
    assert watermark.value == 1029.0
    assert watermark.released() == {"b"}
    watermark.apply(tick(0, b=1000.0))
    watermark.apply(tick(0, a=1031.0))
    assert watermark.value == 1029.0
    watermark.apply(tick(0, b=1030.0))
    assert watermark.value == 1030.0


def test_a_closed_source_is_removed_and_without_sources_the_watermark_does_not_change(watermark):
    watermark.apply(tick(0, a=10.0, b=5.0))
    assert watermark.apply(tick(0, closed=("b",), a=11.0))
    assert watermark.value == 11.0
    assert not watermark.apply(tick(0, closed=("a",)))
    assert watermark.value == 11.0
    assert watermark.live() == set()
    assert watermark.apply(tick(0, c=20.0))


def test_duplicate_ticks_of_a_closed_source_are_ignored(watermark):
    run(watermark, "a", 1, 10, 1)
    watermark.apply(tick(0, odd=3600.0))
    watermark.apply(tick(0, odd=3601.0, closed=("odd",)))
    watermark.apply(tick(0, odd=3600.0))
    watermark.apply(tick(0, a=11.0, closed=("a",)))
    assert watermark.live() == set()
    run(watermark, "b", 12, 20, 1)
    assert watermark.value == 20.0, "the watermark does not advance to the clock of the closed source"
    assert watermark.live() == {"b"}
    watermark.apply(tick(0, odd=3700.0))
    assert watermark.live() == {"b", "odd"}, "a tick with a newer time is no duplicate"


def test_the_number_of_stored_closed_sources_is_bounded(watermark):
    for number in range(1000):
        watermark.apply(tick(0, (f"s{number}",), a=float(number), **{f"s{number}": float(number)}))
    ended = watermark.lanes[0].ended
    assert list(ended) == [f"s{number}" for number in range(1000 - len(ended), 1000)]
    assert len(ended) < 200


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_jumps_does_not_make_other_sources_inactive(step):
    """If the clock of a source goes back, its ticks have the same time, because capture never writes an earlier time.

    If it jumps ahead, its ticks are ahead.
    """
    watermark = Watermark(2, 60)
    run(watermark, "abc", 1, 10)
    for second in range(11, 60):
        leaping = 10.0 if step < 0 else second + step
        for partition in range(2):
            watermark.apply(tick(partition, a=float(second), b=float(second), c=leaping))
    assert watermark.released() == set()
    assert watermark.value == (59.0 if step > 0 else 10.0)
    run(watermark, "ab", 60, 75)
    assert watermark.value == 75.0


def test_a_tick_of_a_partition_that_does_not_exist_is_ignored(watermark):
    assert not watermark.apply(tick(7, a=1.0))
    assert not watermark.apply(tick(-1, a=1.0))
    assert watermark.live() == set()


def test_the_state_is_bounded_if_many_sources_are_lost(watermark):
    for number in range(1_000):
        for second in range(0, 80, 20):
            lost = {f"lost-{number}": 100.0 * number} if second == 0 else {}
            watermark.apply(tick(0, steady=100.0 * number + second, **lost))
    assert "lost-900" in watermark.released()
    assert len(watermark.released()) <= 512
    watermark.apply(tick(0, **{"lost-1": 100.0}))
    assert "lost-1" not in watermark.live(), "a forgotten source with an old time is released immediately"


@pytest.mark.parametrize("partitions", [1, 8, 64, 128])
def test_the_state_fits_into_one_record_of_kafka_for_any_number_of_partitions(partitions):
    """Kafka rejects a state of more than 1 MiB, and then watch would fail at each start."""
    watermark, name = Watermark(partitions, 60), "weir-gateway-7f6c5d4b8-{}-0123456789abcdef"
    lost = {name.format(f"lost{number:03}"): 1.0 + number for number in range(600)}
    ended = {name.format(f"ended{number:03}"): 10_000.0 for number in range(300)}
    for partition in range(partitions):
        for sources, closed in (({"steady": 10_000.0}, ()), (lost, ()), (ended, tuple(ended))):
            watermark.apply(Tick(stage="score", partition=partition, sources=sources, closed=closed))
    assert len(encode(SourcesState(lanes=watermark.lanes, value=watermark.value))) < 1_000_000
    assert len(watermark.released()) >= 32


@pytest.mark.parametrize(("partitions", "gateways"), [(48, 300), (16, 2000)])
def test_the_state_of_many_live_gateways_fits_into_one_record_and_is_read_completely(partitions, gateways):
    watermark, random = Watermark(partitions, 60), Random(1)
    names = [f"weir-gateway-7f6c5d4b8-{number}-{random.getrandbits(64):016x}" for number in range(gateways)]
    for second in range(3):
        times = {name: 1.8e9 + second + random.random() for name in names}
        for partition in range(partitions):
            sent = {name: time + random.random() / 100 for name, time in times.items()}
            watermark.apply(Tick(stage="score", partition=partition, sources=sent))
    state = SourcesState(offset=7, lanes=watermark.lanes, value=watermark.value)
    former, value = msgspec.msgpack.encode(state), encode(state)
    assert len(value) < 1_000_000 < len(former)
    assert decode_sources(value) == decode_sources(former) == state
    assert order(sources_key(0).encode(), value) == 7
    with pytest.raises(StateUnreadable, match="rebuilt from the log"):
        decode_sources(value[:-9])
