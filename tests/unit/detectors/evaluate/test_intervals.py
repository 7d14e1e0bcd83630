"""Confidence intervals: they contain the measured value, have the stated coverage, and are not empty at 0."""

import math

import numpy as np
import pytest

from detectors.base import Span
from detectors.evaluate.intervals import of_counts, of_labels, share
from detectors.evaluate.metrics import auroc, decisions
from detectors.evaluate.span_metrics import characters, typed


def test_the_interval_of_a_share_of_zero_agrees_with_the_rule_of_three():
    low, high = share(0, 300)
    assert low == 0.0
    assert high == pytest.approx(3.84 / 303.84, abs=1e-3), "Wilson: z^2 / (n + z^2)"
    assert all(map(math.isnan, share(0, 0)))


def scored(rng, texts):
    labels = rng.random(texts) < 0.3
    scores = np.clip(rng.random(texts) * 0.7 + labels * 0.2, 0, 1)
    return labels.tolist(), scores.tolist(), (scores > 0.5).tolist()


def test_an_interval_contains_the_measured_value_and_narrows_with_more_texts():
    few, many = (of_labels(*scored(np.random.default_rng(1), texts)) for texts in (100, 1600))
    labels, scores, flagged = scored(np.random.default_rng(1), 1600)
    figures = decisions(labels, flagged) | {"auroc": auroc(labels, scores)}
    for name in ("auroc", "f1", "f2", "macro_f1", "recall", "precision", "flagged"):
        low, high = many[name]
        assert low < figures[name] < high
        assert high - low < 0.5 * (few[name][1] - few[name][0])
    assert "ece" not in many, "its bootstrap interval does not contain the true value"


@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize("hits", [0, 1])
def test_a_metric_that_is_undefined_has_no_interval(label, hits):
    labels, scores, flagged = [label] * 20, [0.1] * 20, [True] * hits + [False] * (20 - hits)
    figures = decisions(labels, flagged)
    found = of_labels(labels, scores, flagged)
    assert "auroc" not in found
    assert {name for name in ("f1", "f2", "macro_f1") if name in found} == {
        name for name in ("f1", "f2", "macro_f1") if not math.isnan(figures[name])
    }
    assert found["flagged"][0] == pytest.approx(share(hits, 20)[0])


def test_resamples_without_a_positive_do_not_lower_the_interval_of_f1():
    # 5 % of the resamples have no positive, and most of these have a false positive: their F1 is undefined and not 0.
    labels = [True] * 3 + [False] * 97
    flagged = [True] * 5 + [False] * 95
    low, high = of_labels(labels, [float(flag) for flag in flagged], flagged)["f1"]
    assert 0.0 < low < decisions(labels, flagged)["f1"] < high


def test_spans_are_resampled_by_text():
    rng = np.random.default_rng(2)
    wanted = [[Span(start=0, end=4, type="PERSON", score=1.0)] for _ in range(200)]
    found = [spans if rng.random() < 0.7 else [] for spans in wanted]
    for figure in (characters(found, wanted), typed(found, wanted)[1]):
        low, high = figure["intervals"]["recall"]
        assert low < figure["recall"] < high
        assert high - low == pytest.approx(4 * math.sqrt(0.7 * 0.3 / 200), rel=0.3)


def test_if_all_spans_are_found_or_missed_the_interval_depends_on_the_number_of_texts():
    found, missed = of_counts([(2, 2, 2)] * 10 + [(0, 0, 0)] * 90), of_counts([(0, 1, 2)] * 10)
    assert found["recall"] == found["precision"] == share(10, 10)
    assert missed["recall"] == missed["precision"] == share(0, 10)
    assert "precision" not in of_counts([(0, 0, 2)] * 10)


def test_a_metric_that_is_the_same_in_all_resamples_has_no_interval():
    found = of_labels([True, True, False, False], [0.9, 0.8, 0.1, 0.2], [True, True, False, False])
    assert all(math.isnan(bound) for name in ("auroc", "average_precision", "f1", "macro_f1") for bound in found[name])
    assert found["recall"] == share(2, 2)
