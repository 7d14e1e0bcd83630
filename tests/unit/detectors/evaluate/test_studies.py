"""Studies of stream detectors: all registered, run from a seed, and rows that tables can show."""

from pathlib import Path

import numpy as np
import pytest

from detectors.errors import DataError
from detectors.evaluate.clients import CLIENTS, Text, Trial, first_alarm
from detectors.evaluate.drift_delay import _RIVER, _every, _river_first, _river_value
from detectors.evaluate.nulls import STREAMS
from detectors.evaluate.run_length import length_rows
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
    assert sum("delay_median" in row for row in first) == 6, "latency, tokens and errors, each by two changes"
    assert [row["run_length"] for row in first if "run_length" in row]


@pytest.mark.parametrize("name", ["ADWIN", "Page-Hinkley"])
def test_a_rival_is_as_eager_as_its_false_alarms_allow(name):
    rng = np.random.default_rng(0)
    nulls = [rng.normal(0.6, 0.1, 600) for _ in range(8)]
    value, every = _river_value(name, nulls, 300)
    make, eager, rare = _RIVER[name]
    assert min(eager, rare) <= value <= max(eager, rare)
    assert every >= 300
    assert every == _every(make, value, nulls)
    bolder = value * (eager / value) ** 0.2
    assert value == eager or _every(make, bolder, nulls) < 300 or every < 600
    changed = np.concatenate([rng.normal(0.6, 0.1, 300), rng.normal(1.2, 0.1, 300)])
    assert _river_first(make, value, changed.tolist()) is not None


def test_run_lengths_have_a_row_a_stream_with_its_error():
    rows = length_rows(20, 4, 0)
    assert len(rows) == len(STREAMS)
    assert all(row["run_length"] > 0 and row["standard_error"] >= 0 for row in rows)


@pytest.mark.parametrize("name", ["single texts, one id on all", "conversations of five, a key and an id each"])
def test_clients_of_every_kind_are_watched_from_when_the_detector_is_ready(name):
    rng = np.random.default_rng(0)
    groups = []
    for _ in range(40):
        vectors = 4.0 * rng.normal(size=96) + rng.normal(size=(6, 96))
        texts = (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype("<f2")
        groups.append([Text(text.tobytes(), {"characters": float(rng.integers(9, 99))}) for text in texts])
    told = first_alarm(groups, CLIENTS[name], Trial(1000, 500, change=100), [0, 0])
    assert told == first_alarm(groups, CLIENTS[name], Trial(1000, 500, change=100), [0, 0])
    assert told is not None
    assert 100 < told < 300
    assert first_alarm(groups, CLIENTS[name], Trial(1000, 200), [0, 0]) is None


def test_an_unknown_study_names_the_known_ones():
    with pytest.raises(DataError, match="no study 'speed': choose one of drift: a switch of domain"):
        study("speed")
