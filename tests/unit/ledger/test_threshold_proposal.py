"""Thresholds that are proposed from reviews."""

import random

import pytest

from stream.ledger.queries.proportion import wilson
from stream.ledger.queries.reviews import ReviewedAlert
from stream.ledger.queries.threshold_proposal import LEAST_ABOVE, LEAST_REVIEWS, propose


def reviewed(*pairs, by="ann"):
    return [
        ReviewedAlert(tenant="acme", detector="toxicity", score=score, right=right, by=by) for score, right in pairs
    ]


#: 40 alerts: all 25 with a score of at least 0.71 are right, and 5 of the 15 others.
SEPARATED = [(0.71 + 0.01 * row, True) for row in range(25)] + [(0.5 + 0.01 * row, row % 3 == 0) for row in range(15)]


def test_the_lowest_threshold_that_reaches_the_target_is_proposed():
    found = propose("acme", "toxicity", reviewed(*SEPARATED), present=0.48, target=1.0)
    now, then = found.present, found.proposed
    assert (now.alerts, now.right, now.precision, now.recall) == (40, 30, 0.75, 1.0)
    assert (then.threshold, then.alerts, then.right, then.precision) == (0.72, 24, 24, 1.0), (
        "20 thresholds are compared"
    )
    assert then.recall == pytest.approx(24 / 30)
    assert then.precision_low < wilson(24, 24)[0], (
        "the confidence level is corrected for the number of compared thresholds"
    )
    assert then.recall_low < 24 / 30 < then.recall_high
    assert (found.reviews, found.reviewers, found.reason) == (40, 1, "")
    lower = propose("acme", "toxicity", reviewed(*SEPARATED), present=0.48, target=0.8).proposed
    assert 0.48 < lower.threshold < 0.71
    assert lower.precision >= 0.8


def test_too_few_reviews_or_alerts_above_propose_nothing():
    few = reviewed(*SEPARATED[: LEAST_REVIEWS - 1])
    found = propose("acme", "toxicity", few, present=0.48, target=0.9)
    assert (found.present, found.proposed) == (None, None)
    assert found.reason == f"{LEAST_REVIEWS - 1} alerts are reviewed, a proposal needs {LEAST_REVIEWS}"
    rare = [(0.95, True)] * (LEAST_ABOVE - 1) + [(0.5, False)] * 40
    found = propose("acme", "toxicity", reviewed(*rare), present=0.48, target=0.9)
    assert found.proposed is None
    assert "no threshold that 10 reviewed alerts reach has a precision of 90 %" in found.reason


def test_a_threshold_is_kept_if_it_reaches_the_target_and_is_never_lowered():
    found = propose("acme", "toxicity", reviewed(*SEPARATED), present=0.71, target=0.9)
    assert found.proposed is None
    assert found.reason == "25 of 40 reviewed alerts reached the present threshold 0.71, a proposal needs 30"
    found = propose("acme", "toxicity", reviewed(*SEPARATED), present=0.48, target=0.7)
    assert (found.proposed, found.reason) == (
        None,
        "the present threshold reaches the target 70 %: 30 of 40 alerts are right",
    )


def test_a_precision_just_below_the_target_is_not_rounded_to_it():
    scores = [(0.95, row > 0) for row in range(10)] + [(0.96, row % 10 > 0) for row in range(19)] + [(0.5, False)]
    found = propose("acme", "toxicity", reviewed(*scores), present=0.48, target=0.9)
    assert found.proposed is None
    assert found.reason == (
        "no threshold that 10 reviewed alerts reach has a precision of 90 %; the highest is 26 of 29 alerts, at 0.95"
    )
    found = propose("acme", "toxicity", reviewed(*scores), present=0.48, target=0.995)
    assert "a precision of 99.5 %" in found.reason


def test_the_interval_of_a_chosen_threshold_contains_the_precision_of_other_alerts():
    """The scores have no information about the labels, so the choice among many thresholds is random."""
    draw, covered, proposals = random.Random(5), 0, 0
    for _ in range(300):
        alerts = reviewed(*((draw.uniform(0.5, 1.0), draw.random() < 0.8) for _ in range(60)))
        proposed = propose("acme", "toxicity", alerts, present=0.48, target=0.9).proposed
        if proposed is not None:
            proposals += 1
            covered += proposed.precision_low <= 0.8 <= proposed.precision_high
    assert proposals > 30
    assert covered / proposals >= 0.95


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"), [(2, 3, 0.208, 0.939), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0)]
)
def test_the_interval_is_that_of_the_literature(hits, total, low, high):
    assert wilson(hits, total) == (pytest.approx(low, abs=0.001), pytest.approx(high, abs=0.001))
