from hypothesis import given
from hypothesis import strategies as st

from stream.wire import canonical_time, format_time, parse_time


@given(st.floats(min_value=0, max_value=4e9, allow_nan=False))
def test_a_canonical_time_survives_the_wire(seconds):
    time = canonical_time(seconds)
    assert parse_time(format_time(time)) == time
    assert canonical_time(time) == time
