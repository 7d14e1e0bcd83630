import numpy as np
import pytest

from detectors.sequential import BETS, BINS, HOLD, Tracker, tie_break

LIMIT = 200


def tracker(tails=1, warm_up=40):
    return Tracker(tails=tails, warm_up=warm_up, highest=4.0 * LIMIT * tails * len(BETS))


def warmed(rng, tails=1, warm_up=40, top=BINS):
    made = tracker(tails, warm_up)
    for place in rng.integers(0, top, warm_up):
        made.learn(int(place))
    return made


def run_length(rng, tails, longest):
    made = warmed(rng, tails)
    for length in range(longest):
        made.update(int(rng.integers(0, BINS)), float(rng.random()), learn=True)
        if made.statistic >= LIMIT:
            return length + 1
    return longest


@pytest.mark.parametrize("tails", [1, 2])
def test_the_budget_is_kept_on_exchangeable_values(tails):
    rng = np.random.default_rng(0)
    lengths = [run_length(rng, tails, 5 * LIMIT) for _ in range(40)]
    print(f"mean run length {np.mean(lengths) / LIMIT:.2f} N of 40 runs, seed 0")
    assert np.mean(lengths) >= LIMIT


def test_a_shift_is_seen_within_a_dozen_events():
    rng = np.random.default_rng(1)
    delays = []
    for _ in range(20):
        made = warmed(rng, top=BINS // 2)
        delay = 0
        while made.statistic < LIMIT and delay < 100:
            made.update(int(rng.integers(BINS // 2, BINS)), float(rng.random()), learn=True)
            delay += 1
        delays.append(delay)
    assert np.median(delays) <= 12


def test_small_values_are_seen_by_two_tails_only():
    rng = np.random.default_rng(2)
    one, two = warmed(rng, tails=1), warmed(rng, tails=2)
    for _ in range(30):
        tie = float(rng.random())
        one.update(0, tie, learn=True)
        two.update(0, tie, learn=True)
    assert two.statistic > LIMIT > one.statistic


def test_a_forgotten_change_leaves_the_history_as_it_was():
    rng = np.random.default_rng(3)
    made = warmed(rng, top=BINS // 2)
    before = made.snapshot().counts
    for _ in range(HOLD + 10):
        made.update(BINS - 1, float(rng.random()), learn=True)
    assert made.snapshot().counts != before
    made.forget_change()
    assert made.snapshot().counts == before
    assert made.ready


def test_the_sums_are_capped():
    made = tracker(warm_up=1)
    made.learn(0)
    for _ in range(200):
        made.update(BINS - 1, 1e-9, learn=False)
    assert made.statistic == pytest.approx(made.highest)


def test_ties_are_broken_by_seed_event_and_feature_alone():
    assert tie_break(0, "a", "x") == tie_break(0, "a", "x")
    assert len({tie_break(0, "a", "x"), tie_break(1, "a", "x"), tie_break(0, "b", "x"), tie_break(0, "a", "y")}) == 4
    values = [tie_break(0, str(index), "x") for index in range(4000)]
    assert 0.0 < min(values) < max(values) < 1.0
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)
