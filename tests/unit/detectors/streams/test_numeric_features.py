"""Moments of features, which equal those of river to the last bit, because replays are compared exactly."""

import math
import sys

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from river import stats

from detectors.streams.numeric_features import BINS, Moments, bin_of

VALUES = st.floats(min_value=-1e9, max_value=1e9) | st.just(math.nan)
#: No value is an outlier among these: none is further than 1 from any mean.
USUAL = st.floats(min_value=0.0, max_value=1.0) | st.just(math.nan)


@given(st.lists(st.tuples(USUAL, st.booleans()), max_size=60))
def test_mean_and_variance_equal_those_of_river_to_the_last_bit(events):
    moments, reference = Moments(), stats.Var()
    moments.update_many([value for value, _ in events], [alarm for _, alarm in events])
    for value, alarm in events:
        if not (alarm or math.isnan(value)):
            reference.update(value)
    assert (moments.count, moments.mean, moments.squares) == (reference.n, reference.mean.get(), reference._S)
    details = moments.details()
    assert details["reference_deviation"] == math.sqrt(max(0.0, reference.get()))


@given(st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=60), st.integers(min_value=0, max_value=60))
def test_moments_do_not_depend_on_the_batches_of_events_or_on_a_restart(events, cut):
    whole, parts = Moments(), Moments()
    whole.update_many([value for value, _ in events], [alarm for _, alarm in events])
    for part in (events[:cut], events[cut:]):
        parts = msgspec.msgpack.decode(msgspec.msgpack.encode(parts), type=Moments)
        parts.update_many([value for value, _ in part], [alarm for _, alarm in part])
    assert parts == whole


@given(st.integers(min_value=1, max_value=99), st.floats(min_value=1e3, max_value=1e12))
def test_one_wrong_value_does_not_move_the_mean_for_ever(position, wrong):
    moments = Moments()
    values = [0.4, 0.6] * 500
    values[position] = wrong
    moments.update_many(values, [False] * len(values))
    details = moments.details()
    assert abs(details["reference_mean"] - 0.5) < 0.05
    assert details["recent_mean"] < 0.61


@given(st.floats())
def test_every_finite_value_has_a_bin(value):
    index = bin_of(value)
    assert 0 <= index < BINS if math.isfinite(value) else index is None


def test_the_largest_number_is_in_the_last_bin():
    assert bin_of(sys.float_info.max) == BINS - 1
