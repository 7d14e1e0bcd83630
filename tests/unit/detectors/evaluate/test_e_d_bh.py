"""e-d-BH on many streams."""

import pytest

from detectors.evaluate.progress import no_progress
from detectors.evaluate.studies.context import StudyContext
from detectors.evaluate.studies.error_over_patience import e_d_bh, error_over_patience


@pytest.mark.parametrize(
    ("statistics", "expected"),
    [
        ({}, []),
        ({"a": 99.0}, []),
        ({"a": 100.0}, ["a"]),
        ({"a": 199.0, "b": 1.0}, []),
        ({"a": 200.0, "b": 1.0}, ["a"]),
        ({"b": 100.0, "a": 100.0}, ["a", "b"]),
        ({"a": 150.0, "b": 99.0}, []),
        ({"a": 300.0, "b": 150.0, "c": 100.0, "d": 99.0}, []),
        ({"a": 300.0, "b": 300.0, "c": 140.0, "d": 99.0}, ["a", "b", "c"]),
    ],
)
def test_the_strongest_are_taken_as_far_as_each_is_strong_enough(statistics, expected):
    assert e_d_bh(statistics, every=100) == expected


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="use a number above 0"):
        e_d_bh({"a": 1.0}, every=0)


def test_error_over_patience_is_bounded_jointly_and_not_stream_by_stream(tmp_path):
    study = StudyContext(tmp_path, 8, 0, no_progress)
    rows = error_over_patience(study, streams=40, changed=4, limit=100)
    worst = {
        name: max(row["error_over_patience"] for row in rows if f": {name}, " in row["data"])
        for name in ("e-d-BH", "each stream by itself")
    }
    assert worst["e-d-BH"] <= 1.0 < worst["each stream by itself"]
