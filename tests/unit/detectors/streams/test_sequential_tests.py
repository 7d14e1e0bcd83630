"""The e-detectors over regions: exact odds, the false-alarm budget, and bounded memory."""

import numpy as np
import pytest
from bench.drift.in_control import ConversationStream, Exchangeable, SharedId, key_each
from bench.drift.run_length import run_lengths

from detectors.base import Observation
from detectors.streams.monitor import Budget, Feature, Monitor
from detectors.streams.recent import MEMORY
from detectors.streams.sequential_tests import ODDS, OVERSHOOT, BettingStep, ReferenceRegions, tie_break

LIMIT = 200
EVENT = Observation(id="", time=0.0, features={})


def regions(signs=(1.0,), limit=LIMIT):
    size = len(signs)
    none = np.zeros(size, dtype=np.bool_)
    return ReferenceRegions(np.zeros(size, dtype=np.intp), np.array(signs), np.full(size, 1 / size), none, limit=limit)


def warmed(rng, signs=(1.0,), count=40, fraction=0.1, limit=LIMIT):
    made = regions(signs, limit)
    reference = rng.random(count)
    for region in range(len(signs)):
        made.begin(region, reference, np.zeros(count, dtype=np.int64), fraction)
    return made


def feed(made, values, *, first=0, slot=0, alarm=False):
    for number, value in enumerate(values, start=first):
        made.update(np.array([value]), BettingStep(number, float(number), slot, 1.0, 0.5), alarm=alarm)


def test_the_mean_run_length_is_near_the_budget():
    lengths = run_lengths(Exchangeable(), Budget(limit=LIMIT), runs=100, seed=0)
    print(f"mean run length {lengths.mean() / LIMIT:.2f} N of 100 runs, seed 0")
    assert 0.8 * LIMIT <= lengths.mean() <= 1.5 * LIMIT


@pytest.mark.parametrize(
    "stream",
    [ConversationStream(0, 100, ids=key_each), SharedId(keys=1), SharedId(keys=5)],
    ids=["conversations of five, a key each", "one id on all events", "one id on all events of one key in five"],
)
def test_the_selection_of_events_does_not_shorten_run_lengths(stream):
    lengths = run_lengths(stream, Budget(limit=LIMIT, daily=False), runs=100, seed=0)
    print(f"mean run length {lengths.mean() / LIMIT:.2f} N of 100 runs, seed 0")
    assert lengths.mean() >= 0.8 * LIMIT


def test_conversations_shorten_run_lengths_only_if_each_message_counts():
    kept, spent = (
        run_lengths(
            ConversationStream(0, 100), Budget(limit=LIMIT, conversation_events=events), runs=100, seed=0
        ).mean()
        / LIMIT
        for events in (512, 0)
    )
    assert kept >= 0.8
    assert spent < 0.6


def test_a_shift_is_detected_within_a_dozen_events():
    rng = np.random.default_rng(1)
    delays = []
    for _ in range(20):
        made, delay = warmed(rng), 0
        while made.statistic < LIMIT and delay < 100:
            feed(made, [2.0], first=delay)
            delay += 1
        delays.append(delay)
    assert np.median(delays) <= 12


def test_small_values_are_detected_only_with_two_tails():
    rng = np.random.default_rng(2)
    one, two = warmed(rng), warmed(rng, signs=(1.0, -1.0))
    for made in (one, two):
        feed(made, [-1.0] * 30)
    assert two.statistic > LIMIT > one.statistic


def test_the_overshoot_over_the_limit_is_bounded():
    rng = np.random.default_rng(5)
    for seed in range(20):
        made, number = warmed(np.random.default_rng(seed)), 0
        while made.statistic < LIMIT:
            feed(made, [float(rng.random() + 0.5)], first=number)
            number += 1
        assert made.statistic <= OVERSHOOT * LIMIT * (1 + 1e-9)


def test_the_odds_are_those_of_draws_from_an_urn():
    made = regions()
    made.begin(0, np.arange(9.0), np.zeros(9, dtype=np.int64), 0.3)
    feed(made, [100.0])
    expected = np.mean([odds / (1 + (odds - 1) * 0.3) for odds in ODDS])
    assert made.statistic == pytest.approx(expected)


def test_in_a_half_hour_without_values_the_bet_has_odds_of_one():
    made = regions()
    made.begin(0, np.arange(9.0), np.zeros(9, dtype=np.int64), 0.3)
    feed(made, [100.0], slot=1)
    assert made.statistic == pytest.approx(1.0)


@pytest.mark.parametrize(("values", "own"), [(49, False), (50, True)])
def test_a_half_hour_with_fewer_than_50_values_has_the_usual_share_of_all_values(values, own):
    made = regions()
    slots = np.array([0] * 100 + [1] * values)
    reference = np.concatenate([np.arange(100.0), np.full(values, -1.0)])
    made.begin(0, reference, slots, 0.16)  # 24 of the values, all of them in half-hour 0
    inside, seen = (0, values) if own else (24, 100 + values)
    assert made.usual_share(0, 1) == pytest.approx((inside + inside**0.5 + 1) / (seen + 1))


@pytest.mark.parametrize("seed", range(10))
def test_events_of_a_batch_have_the_results_of_single_events(seed):
    rng = np.random.default_rng(seed)
    batch, single = warmed(np.random.default_rng(seed), limit=60), warmed(np.random.default_rng(seed), limit=60)
    values, looked = rng.random(80) + 0.5, (rng.random(80) < 0.5).tolist()
    steps = [BettingStep(number, float(number), 0, 1.0, 0.5) for number in range(80)]
    taken, highest = batch.update_many(values[looked][:, None], looked, steps)
    found = []
    for value, mine, step in zip(values, looked, steps[:taken], strict=False):
        single.update(np.array([value]), step, alarm=False) if mine else single.wait(1.0)
        found.append(single.statistic)
    assert highest == pytest.approx(max(found))
    assert batch.snapshot().counts == single.snapshot().counts
    assert batch.statistic == pytest.approx(single.statistic)
    assert max(found[:-1]) < 60


def test_a_batch_ends_at_the_event_that_reaches_the_limit():
    made = warmed(np.random.default_rng(0), count=100_000, fraction=1e-5, limit=940)
    steps = [BettingStep(number, float(number), 0, 1.0, 0.5) for number in range(5)]
    taken, highest = made.update_many(np.full((3, 1), 2.0), [True] * 3 + [False] * 2, steps)
    assert taken == 3
    assert highest == made.statistic >= 940


def test_forgetting_a_change_restores_the_counts():
    rng = np.random.default_rng(3)
    made = warmed(rng)
    before = made.snapshot().counts
    feed(made, [2.0] * 30)
    assert made.snapshot().counts != before
    made.forget(0.0)
    assert made.snapshot().counts == before


def test_suppressed_events_can_reach_the_limit_directly_after_an_alarm():
    rng = np.random.default_rng(0)
    monitor = Monitor({"a": Feature(share=1.0, tails=1, warm_up=20)}, Budget(limit=10, daily=False))
    for value in [*rng.random(20), *[2.0] * 20, *rng.random(200)]:
        monitor.update(EVENT, np.array([value]), 0.5)
        if value < 1.0 and monitor.events > 40 and not monitor.alarm:
            break
    assert not monitor.alarm
    for _ in range(10):
        monitor.update(EVENT, None, 0.5)
    assert monitor.alarm


def test_a_change_has_its_time_and_its_shares_before_and_since():
    rng = np.random.default_rng(6)
    made = warmed(rng, count=200, limit=1e6)
    feed(made, rng.random(500))
    feed(made, [2.0] * 12, first=500)
    change = made.change(made.leading())
    assert change.event == pytest.approx(500, abs=3)
    assert change.time == pytest.approx(500, abs=3)
    assert change.share_before < 0.2
    assert change.share_since > 0.9


def test_the_number_of_stored_recent_values_is_bounded():
    rng = np.random.default_rng(7)
    made = warmed(rng)
    feed(made, rng.random(3 * MEMORY))
    assert len(made.snapshot().recent) == MEMORY


def test_the_statistic_is_capped_so_that_an_alarm_can_end():
    made = warmed(np.random.default_rng(8))
    feed(made, [2.0] * 40, alarm=True)
    made.cap(4.0 * LIMIT, np.zeros(len(made.snapshot().thresholds), dtype=np.intp))
    assert made.statistic == pytest.approx(4.0 * LIMIT)


def test_values_of_a_reference_are_not_forgotten():
    made = regions()
    values = np.random.default_rng(8).random(40)
    feed(made, values)
    made.begin(0, values, np.zeros(40, dtype=np.int64), 0.1)
    counts = made.snapshot().counts
    made.forget(0.0)
    assert made.snapshot().counts == counts


def test_a_missing_value_places_no_bet_and_its_event_counts():
    made = warmed(np.random.default_rng(9))
    feed(made, [float("nan")] * 5)
    assert made.statistic == pytest.approx(5.0)
    made.wait(1.0)
    assert made.statistic == pytest.approx(6.0)


def test_tie_breaks_depend_only_on_the_seed_and_the_event():
    assert tie_break(0, "a") == tie_break(0, "a")
    assert len({*tie_break(0, "a"), *tie_break(1, "a"), *tie_break(0, "b")}) == 6
    values = [tie_break(0, str(index))[0] for index in range(4000)]
    assert 0.0 < min(values) < max(values) < 1.0
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)
