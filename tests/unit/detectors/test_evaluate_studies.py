"""Studies of stream detectors: all registered, run from a seed, and rows that tables can show."""

from pathlib import Path

import pytest

from detectors.errors import DataError
from detectors.evaluate.studies import STUDIES, study
from detectors.registry import STREAM, TEXT

NOWHERE = Path("nowhere")


def test_every_stream_detector_has_a_study_of_its_own():
    assert set(STREAM) <= set(STUDIES)
    assert {one.detector for one in STUDIES.values()} <= {*STREAM, *TEXT}


@pytest.mark.parametrize("name", ["anomaly"])
def test_a_seed_gives_the_same_rows_again(name):
    first = study(name).run(NOWHERE, 2, 1)
    assert first == study(name).run(NOWHERE, 2, 1)
    assert {row["detector"] for row in first} == {name}
    assert all(row["runs"] == 2 for row in first)


def test_an_unknown_study_names_the_known_ones():
    with pytest.raises(DataError, match="no study 'speed': choose one of drift: a switch of domain"):
        study("speed")
