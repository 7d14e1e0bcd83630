"""Times of a process whose clock is years ahead: windows are delayed by at most an hour, a lease and a silence by at most a day."""

import pytest
from support.events import closed, event_of, tick
from support.ledger_log import request

from stream.loop.settings import LoopSettings
from stream.loop.training.machine import TrainerMachine
from stream.silences import Silences
from stream.stages.score.ticks import merge_ticks
from stream.stages.watch.watermark import Watermark
from stream.wire import RetrainingRecord, SilenceRecord, Tick, bounded
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


def stored(data, at=NOW):
    """Return `data` as it is read if Kafka stored it at time `at`."""
    return bounded(event_of(data, "e", data.at), at).data


def state(name, at, until=None):
    return RetrainingRecord(
        retraining_id="rt_1", state=name, reason="", tenant="acme", model="m", at=at, epoch=1, lease_until=until
    )


@pytest.mark.parametrize("entered", [NOW - 7200, NOW + YEARS])
def test_a_request_is_free_a_day_after_its_trainer_with_a_clock_ahead_has_died(entered):
    """Also if the clock stepped after the state began: a record that renews the lease has the time of the first record."""
    machine = TrainerMachine(lambda _tenant: LoopSettings(mode="auto"))
    machine.apply(stored(state("requested", NOW - 9000), NOW - 9000))
    machine.apply(stored(state("started", entered, until=NOW + YEARS + 120)))
    assert machine.next(NOW + 120) is None
    assert machine.next(NOW + HOUR + 86_401).request.retraining_id == "rt_1"


def test_a_lease_and_a_time_of_a_right_clock_are_kept():
    for until in (None, NOW + 120, NOW + 86_400):
        record = state("started", NOW, until=until)
        assert stored(record) is record


def silence(at, seconds):
    return SilenceRecord(
        silence_id="si_1",
        alert_id="al_1",
        tenant="acme",
        model="m",
        side="input",
        detector="pii",
        at=at,
        until=at + seconds,
    )


def test_a_subject_can_be_silenced_again_although_an_operator_with_a_clock_ahead_silenced_it():
    silences = Silences()
    wrong = stored(silence(NOW + YEARS, 7200.0))
    silences.apply(wrong)
    assert wrong.until - wrong.at == 7200.0
    assert silences.active(NOW + HOUR) == [wrong]
    right = stored(silence(NOW + HOUR + 60, 600.0), NOW + HOUR + 60)
    silences.apply(right)
    assert silences.active(NOW + HOUR + 61) == [right]
