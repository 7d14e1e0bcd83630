"""Simulations of the sequential tests: wrong decisions are rare in any order of the arms, and harm is found early."""

import random
from collections.abc import Callable, Iterator

import msgspec
import pytest

from stream.loop.sequential import Arm, PairedTest, RateTest, TwoSampleTest, least_pairs

ALPHA, MARGIN = 0.05, 0.05
#: Most wrong decisions in 200 runs: 200 x alpha + 2 standard deviations.
MOST_WRONG = 16
#: For each case, the share of the challenger and a function from time in [0, 1] to the rates of champion and challenger.
Rates = Callable[[float], tuple[float, float]]
EQUAL: dict[str, tuple[float, Rates]] = {
    "balanced": (0.5, lambda _: (0.05, 0.05)),
    "canary of 5 %": (0.05, lambda _: (0.05, 0.05)),
    "frequent": (0.25, lambda _: (0.3, 0.3)),
    "drift of both arms": (0.5, lambda time: (0.02 + 0.4 * time, 0.02 + 0.4 * time)),
    "drift of both arms, canary of 5 %": (0.05, lambda time: (0.4 - 0.38 * time, 0.4 - 0.38 * time)),
}


def events(share: float, rates: Rates, count: int, seed: int) -> Iterator[tuple[Arm, bool]]:
    """Yield the arm of each event, and whether it is flagged."""
    generator = random.Random(seed)
    for event in range(count):
        index = int(generator.random() < share)
        yield ("champion", "challenger")[index], generator.random() < rates(event / count)[index]


def decides(attribute: str, share: float, rates: Rates, seed: int) -> bool:
    """Return whether the evidence `attribute` reaches 1 / alpha within 2,000 events."""
    test = TwoSampleTest(margin=MARGIN, alpha=ALPHA)
    for arm, flagged in events(share, rates, 2_000, seed):
        test.update(arm, flagged)
        if getattr(test, attribute) >= 1 / ALPHA:
            return True
    return False


@pytest.mark.parametrize(("share", "rates"), EQUAL.values(), ids=EQUAL)
def test_equal_arms_are_rarely_called_harmful(share, rates):
    wrong = sum(decides("e_harm", share, rates, seed) for seed in range(200))

    assert wrong <= MOST_WRONG


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_challenger_at_the_margin_is_rarely_called_safe(share):
    wrong = sum(decides("e_safe", share, lambda _: (0.02, 0.02 + MARGIN), seed) for seed in range(200))

    assert wrong <= MOST_WRONG


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_harm_is_found(share):
    found = sum(decides("e_harm", share, lambda _: (0.05, 0.4), seed) for seed in range(100))

    assert found >= 95


def test_harm_is_found_after_few_events_of_a_small_canary():
    needed = []
    for seed in range(101):
        generator, test, events = random.Random(seed), TwoSampleTest(margin=MARGIN, alpha=ALPHA), 0
        while test.e_harm < 1 / ALPHA:
            challenger = generator.random() < 0.05
            events += challenger
            test.update("challenger" if challenger else "champion", generator.random() < (0.4 if challenger else 0.07))
        needed.append(events)

    assert sorted(needed)[50] <= 15


def test_an_equal_challenger_is_found_safe():
    found = sum(decides("e_safe", 0.25, lambda _: (0.02, 0.02), seed) for seed in range(100))

    assert found >= 90


def test_an_order_that_depends_on_the_outcomes_is_valid():
    """Each arm gets more events after an unflagged answer, as from users who leave after a bad answer."""
    wrong = 0
    for seed in range(200):
        generator, test, arm, harm = random.Random(seed), TwoSampleTest(margin=MARGIN, alpha=ALPHA), "champion", 1.0
        for _ in range(2_000):
            flagged = generator.random() < 0.2
            test.update(arm, flagged)
            harm = max(harm, test.e_harm)
            if flagged:
                arm = "challenger" if arm == "champion" else "champion"
        wrong += harm >= 1 / ALPHA

    assert wrong <= MOST_WRONG


def test_no_decision_without_the_champion():
    test = TwoSampleTest(margin=MARGIN, alpha=ALPHA)
    for _ in range(1_000):
        test.update("challenger", flagged=True)

    assert (test.e_harm, test.e_safe) == (1.0, 1.0)


def test_a_restored_test_continues_with_the_same_evidence():
    whole, restored = (TwoSampleTest(margin=MARGIN, alpha=ALPHA) for _ in range(2))
    for arm, flagged in events(0.25, lambda _: (0.05, 0.1), 1_000, 7):
        whole.update(arm, flagged)
        restored.update(arm, flagged)
        restored = msgspec.json.decode(msgspec.json.encode(restored), type=TwoSampleTest)

    assert restored == whole


@pytest.mark.parametrize(("rate", "attribute"), [(0.4, "e_harm"), (0.01, "e_safe")])
def test_a_rate_above_and_below_a_bound_is_decided(rate, attribute):
    generator = random.Random(3)
    test = RateTest(bound=0.07, alpha=ALPHA)
    for _ in range(500):
        test.update(generator.random() < rate)

    assert getattr(test, attribute) >= 1 / ALPHA


def test_a_rate_at_its_bound_is_rarely_decided():
    harm = safe = 0
    for seed in range(200):
        generator, test, most_harm, most_safe = random.Random(seed), RateTest(bound=0.07, alpha=ALPHA), 1.0, 1.0
        for _ in range(2_000):
            test.update(generator.random() < 0.07)
            most_harm, most_safe = max(most_harm, test.e_harm), max(most_safe, test.e_safe)
        harm += most_harm >= 1 / ALPHA
        safe += most_safe >= 1 / ALPHA

    assert max(harm, safe) <= MOST_WRONG


@pytest.mark.parametrize(("mean", "attribute"), [(0.0, "e_harm"), (0.1, "e_safe")])
def test_pairs_at_the_null_are_rarely_decided(mean, attribute):
    wrong = 0
    for seed in range(200):
        generator, test, most = random.Random(seed), PairedTest(margin=0.1, alpha=ALPHA), 1.0
        for _ in range(500):
            test.update(generator.choices((-1, 0, 1), (0.2 - mean / 2, 0.6, 0.2 + mean / 2))[0])
            most = max(most, getattr(test, attribute))
        wrong += most >= 1 / ALPHA

    assert wrong <= MOST_WRONG


@pytest.mark.parametrize(("margin", "pairs"), [(0.05, 80), (0.1, 39), (0.15, 25)])
def test_equal_pairs_are_safe_after_few_pairs(margin, pairs):
    assert least_pairs(margin, ALPHA) == pairs


def test_a_difference_outside_its_range_is_an_error():
    with pytest.raises(ValueError, match=r"difference is 1\.5"):
        PairedTest(margin=0.1, alpha=ALPHA).update(1.5)
