"""Moments of features, which equal those of river to the last bit, because replays are compared exactly."""

import math
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import stats

from detectors.base import Finding
from detectors.streams.numeric_features import BINS, SIZES, Moments, NumericFeatures, bin_of

VALUES = st.floats(min_value=-1e9, max_value=1e9) | st.just(math.nan)


@given(st.lists(st.tuples(VALUES, st.booleans()), max_size=60))
def test_mean_and_variance_equal_those_of_river_to_the_last_bit(events):
    moments, reference = Moments(), stats.Var()
    moments.update_many([value for value, _ in events], [alarm for _, alarm in events])
    for value, alarm in events:
        if not (alarm or math.isnan(value)):
            reference.update(value)
    assert (moments.count, moments.mean, moments.squares) == (reference.n, reference.mean.get(), reference._S)
    assert moments.deviation == math.sqrt(max(0.0, reference.get()))


@given(st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=60), st.integers(min_value=0, max_value=60))
def test_moments_do_not_depend_on_the_batches_of_events_or_on_a_restart(events, cut):
    whole, parts = Moments(), Moments()
    whole.update_many([value for value, _ in events], [alarm for _, alarm in events])
    for part in (events[:cut], events[cut:]):
        parts = msgspec.msgpack.decode(msgspec.msgpack.encode(parts), type=Moments)
        parts.update_many([value for value, _ in part], [alarm for _, alarm in part])
    assert parts == whole


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("wrong", [0.0, 60.0, 1e6])
def test_a_few_extreme_values_hardly_move_the_means_of_a_size(name, wrong):
    numbers = NumericFeatures([name])
    values = [wrong if at in {7, 55, 995} else 0.9 + at % 3 / 10 for at in range(1_000)]
    numbers.update({name: values}, [False] * 900 + [True] * 100)
    details = numbers.explain(Finding(score=0.0, statistic=0.0, limit=1.0, feature=name, alarm=False)).details
    assert details["reference_mean"] == pytest.approx(1.0, rel=0.15)
    assert details["recent_mean"] == pytest.approx(1.0, rel=1.0)
    assert "reference_deviation" not in details


def test_the_mean_of_a_share_is_not_geometric():
    numbers = NumericFeatures(["error"])
    numbers.update({"error": [0.0, 1.0] * 50}, [False] * 100)
    details = numbers.explain(Finding(score=0.0, statistic=0.0, limit=1.0, feature="error", alarm=False)).details
    assert details["reference_mean"] == pytest.approx(0.5)
    assert details["reference_deviation"] == pytest.approx(0.5, abs=0.01)


@given(st.floats())
def test_every_finite_value_has_a_bin(value):
    index = bin_of(value)
    assert 0 <= index < BINS if math.isfinite(value) else index is None


def test_the_largest_number_is_in_the_last_bin():
    assert bin_of(sys.float_info.max) == BINS - 1
