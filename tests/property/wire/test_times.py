from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.wire import canonical_time, format_time, parse_time


@given(st.floats(min_value=0, max_value=4e9, allow_nan=False))
def test_a_canonical_time_is_the_same_after_format_and_parse(seconds):
    time = canonical_time(seconds)
    assert parse_time(format_time(time)) == time
    assert canonical_time(time) == time


@given(st.datetimes(timezones=st.timezones() | st.just(timezone(timedelta(hours=-12)))))
@example(datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12))))
@example(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))))
def test_a_time_that_can_be_parsed_can_be_formatted(time):
    try:
        seconds = parse_time(time.isoformat())
    except ValueError:
        return
    assert parse_time(format_time(seconds)) == pytest.approx(seconds, abs=1e-3)
    assert format_time(seconds + 86_400)
