"""An alert of drift or anomaly says what changed."""

import pytest

from stream.stages.alert.change_summary import changed
from stream.stages.alert.number_format import number

TOPIC = {"topic_since": 4.0, "topic_since_share_before": 0.16, "topic_since_share": 0.58, "changed_at": 1_800_000_000.0}


@pytest.mark.parametrize(
    ("feature", "details", "expected"),
    [
        ("topics", TOPIC, "topic 4 went from 16% of events to 58% since 2027-01-15T08:00:00Z"),
        (
            "embedding",
            {"share_before": 0.03, "share_since": 0.7, "topic_since": 2.0},
            "70% of events are further from the reference than 3% were before, nearest topic now 2",
        ),
        (
            "characters",
            {"reference_mean": 41.2, "reference_deviation": 6.0, "recent_mean": 380.0, "direction": -1.0},
            "characters smaller: 41.2 ± 6 before, 380 of late",
        ),
        ("characters", {}, ""),
        ("topics", {"topic_before": 1.0}, ""),
        ("total", {"total": 3.0}, ""),
    ],
)
def test_what_changed_is_said_in_words(feature, details, expected):
    assert changed(feature, details) == expected


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.51234, "0.5123"),
        (20.0, "20"),
        (999.94, "999.9"),
        (1000.0, "1,000"),
        (37226.14, "37,226"),
        (-2500.0, "-2,500"),
    ],
)
def test_a_number_is_told_without_an_exponent(value, told):
    assert number(value) == told
