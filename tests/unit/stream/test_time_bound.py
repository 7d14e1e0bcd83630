"""Times of a source whose clock is years ahead: windows are delayed by at most an hour."""

import pytest
from support.events import closed, event_of, tick
from support.ledger_log import request

from stream.stages.score.ticks import merge_ticks
from stream.stages.watch.watermark import Watermark
from stream.wire import Tick, bounded
from stream.wire.time_bound import AHEAD_SECONDS

NOW, YEARS = 1_800_000_000.0, 10 * 365 * 86400.0
HOUR = int(AHEAD_SECONDS)


def test_windows_close_again_an_hour_after_the_only_gateway_restarts_with_the_right_clock():
    watermark = Watermark(1, 60.0)

    def read(event, at):
        watermark.apply(merge_ticks(0, 0, [bounded(event, at)], "weir/score").data)

    for second in range(60):
        read(tick(NOW + YEARS + second, source="ahead"), NOW + second)
    read(closed(NOW + YEARS + 60, source="ahead"), NOW + 60)
    stopped = watermark.value
    assert NOW < stopped <= NOW + 60 + HOUR
    for second in range(61, HOUR + 120):
        read(tick(NOW + second, source="restarted"), NOW + second)
    assert watermark.value == NOW + HOUR + 119


@pytest.mark.parametrize("stored_at", [None, -0.001])
def test_a_record_without_a_timestamp_keeps_its_times(stored_at):
    event = request("r1", NOW + YEARS)
    assert bounded(event, stored_at) is event


def test_a_clock_an_hour_ahead_and_old_records_keep_their_times():
    for time in (0.0, NOW, NOW + HOUR):
        for event in (request("r1", time), tick(time), closed(time)):
            assert bounded(event, NOW) is event


def test_only_the_times_of_the_source_that_is_ahead_are_bounded():
    both = event_of(Tick(sources={"right": NOW, "ahead": NOW + YEARS}), "t", NOW + YEARS)
    found = bounded(both, NOW)
    assert (found.time, found.data.sources) == (NOW + HOUR, {"right": NOW, "ahead": NOW + HOUR})
