import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from weir.client import Client, parse_since
from weir.client.times import format_duration
from weir.errors import SettingsError, StackError
from weir.settings import Loaded, Settings

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("30s", NOW - timedelta(seconds=30)),
        ("10m", NOW - timedelta(minutes=10)),
        (" 1.5 h ", NOW - timedelta(minutes=90)),
        ("2d", NOW - timedelta(days=2)),
        (timedelta(minutes=3), NOW - timedelta(minutes=3)),
        ("2026-01-31T11:00:00Z", NOW - timedelta(hours=1)),
        (NOW, NOW),
        (None, None),
    ],
)
def test_since_is_a_duration_before_now_or_a_time(since, expected):
    assert parse_since(since, NOW) == expected


@pytest.mark.parametrize("since", ["", "yesterday", "10", "-5m", "10 minutes", "99999999999d", 10, 0.5])
def test_other_values_are_an_error_with_examples(since):
    with pytest.raises(SettingsError, match=r"30s, 10m, 2h"):
        parse_since(since, NOW)


@pytest.mark.parametrize("since", ["2026-01-31T11:00:00", "2026-01-31", "20260131", "2026-W05"])
def test_a_text_without_an_offset_is_an_error(since):
    with pytest.raises(SettingsError, match=rf"^'{since}' has no offset from UTC; write 2026-01-31T12:00:00Z"):
        parse_since(since, NOW)


@pytest.mark.parametrize("since", ["9999999d", datetime.fromisoformat("0001-01-01"), timedelta.max])
def test_a_time_out_of_range_is_an_error_with_examples(since, monkeypatch):
    monkeypatch.setenv(
        "TZ", "Asia/Kathmandu"
    )  # in this time zone, the first hours of the year 1 are in the year 0 of UTC
    time.tzset()
    try:
        with pytest.raises(SettingsError, match=rf"^{re.escape(str(since))} is before the year 1 .* 30s, 10m, 2h"):
            parse_since(since, NOW)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_datetime_without_a_zone_is_local():
    assert parse_since(datetime(2026, 1, 31, 12, 0), NOW).tzinfo is not None  # noqa: DTZ001 - the test needs a time without a zone


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (150, "2 min"), (7300, "2 h"), (200_000, "2 d")]
)
def test_durations_are_short(seconds, text):
    assert format_duration(seconds) == text


def test_without_a_stack_or_an_address_the_error_names_the_home(tmp_path):
    loaded = Loaded(settings=Settings(home=tmp_path), sources={}, config_path=None)
    with pytest.raises(StackError, match=str(tmp_path)):
        Client(loaded)
