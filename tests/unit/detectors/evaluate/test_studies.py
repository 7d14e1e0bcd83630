"""Studies of stream detectors: one per detector, deterministic for a seed, with rows for tables."""

import numpy as np
import pytest
from bench.drift import run_length
from bench.drift.conversation_ids import CLIENTS, Text, Trial, first_alarm_of
from bench.drift.drift_delay import _RIVER, _every, _river_first, _river_value
from bench.drift.in_control import STREAMS
from bench.drift.rows import AFTER, censored_delay_row
from bench.drift.run_length import run_length_rows

from detectors.errors import DataError
from detectors.evaluate.progress import no_progress
from detectors.evaluate.studies import paired_answers as paired_answers_study
from detectors.evaluate.studies import sentinel as sentinel_study
from detectors.evaluate.studies.context import StudyContext
from detectors.evaluate.studies.paired_answers import BIASES, paired_answers
from detectors.evaluate.studies.registry import STUDIES, find_study
from detectors.evaluate.studies.sentinel import sentinel
from detectors.registry import STREAM, TEXT


def test_every_stream_detector_has_a_study_of_its_own():
    assert set(STREAM) <= set(STUDIES)
    assert {one.detector for one in STUDIES.values()} <= {*STREAM, *TEXT}


def test_a_seed_determines_the_rows_and_progress_reaches_its_total(tmp_path):
    calls = []
    study = StudyContext(tmp_path, 2, 1, lambda *call: calls.append(call))
    first = find_study("anomaly").run(study)
    assert first == find_study("anomaly").run(study._replace(progress=no_progress))
    assert {row["detector"] for row in first} == {"anomaly"}
    assert all(row["runs"] == 2 for row in first)
    assert {(what, 2, 2) for what, _, _ in calls} <= set(calls)
    assert sum("delay_median" in row for row in first) == 7, (
        "two changes each of latency, tokens and errors, one of slow requests"
    )
    assert [row["run_length"] for row in first if "run_length" in row]


@pytest.mark.parametrize("name", ["ADWIN", "Page-Hinkley"])
def test_the_parameter_of_another_method_is_set_by_its_false_alarms(name):
    rng = np.random.default_rng(0)
    nulls = [rng.normal(0.6, 0.1, 600) for _ in range(8)]
    value, every = _river_value(name, nulls, 300)
    make, sensitive, rare = _RIVER[name]
    assert min(sensitive, rare) <= value <= max(sensitive, rare)
    assert every >= 300
    assert every == _every(make, value, nulls)
    bolder = value * (sensitive / value) ** 0.2
    assert value == sensitive or _every(make, bolder, nulls) < 300 or every < 600
    changed = np.concatenate([rng.normal(0.6, 0.1, 300), rng.normal(1.2, 0.1, 300)])
    assert _river_first(make, value, changed.tolist()) is not None


def test_run_lengths_have_one_row_per_stream_with_the_standard_error(tmp_path):
    rows = run_length_rows(StudyContext(tmp_path, 4, 0, no_progress), limit=20)
    assert len(rows) == len(STREAMS)
    assert all(row["run_length"] > 0 and row["standard_error"] >= 0 for row in rows)


def test_the_standard_error_is_of_the_sample_and_unknown_for_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run_length, "STREAMS", {"exchangeable": STREAMS["exchangeable"]})
    monkeypatch.setattr(run_length, "run_lengths", lambda *_, runs, **__: np.array([100.0, 300.0])[:runs])
    (two,) = run_length_rows(StudyContext(tmp_path, 2, 0, no_progress), limit=100)
    (one,) = run_length_rows(StudyContext(tmp_path, 1, 0, no_progress), limit=100)
    assert two["standard_error"] == pytest.approx(1.0)  # standard deviation of the sample: the square root of 2
    assert np.isnan(one["standard_error"])


@pytest.mark.parametrize("name", ["single texts, one id on all", "conversations of five, a key and an id each"])
def test_clients_of_every_kind_are_monitored_as_soon_as_the_detector_is_ready(name):
    rng = np.random.default_rng(0)
    groups = []
    for _ in range(40):
        vectors = 4.0 * rng.normal(size=96) + rng.normal(size=(6, 96))
        texts = (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype("<f2")
        groups.append([Text(text.tobytes(), {"characters": float(rng.integers(9, 99))}) for text in texts])
    alarm = first_alarm_of(groups, CLIENTS[name], Trial(1000, 500, change=100), [0, 0])
    assert alarm == first_alarm_of(groups, CLIENTS[name], Trial(1000, 500, change=100), [0, 0])
    assert alarm is not None
    assert 100 < alarm < 300
    assert first_alarm_of(groups, CLIENTS[name], Trial(1000, 200), [0, 0]) is None


def test_paired_answers_have_a_row_without_bias_and_one_for_each_bias(tmp_path, monkeypatch):
    monkeypatch.setattr("detectors.evaluate.studies.paired_answers.BIASES", {"20 % shorter": BIASES["20 % shorter"]})
    study = StudyContext(tmp_path, 3, 0, no_progress)
    fair, biased = rows = paired_answers(study)
    assert rows == paired_answers(study)
    assert fair["run_length"] > 0
    assert (fair["runs"], biased["runs"], biased["missed"]) == (3, 3, 0)
    assert 20 < biased["delay_median"] < 400


def test_changes_without_an_alarm_do_not_shorten_the_delays(tmp_path, monkeypatch):
    study = StudyContext(tmp_path, 10, 0, no_progress)
    alarms = {run: None if run < 2 else 16 * (100 + run) for run in range(10)}
    monkeypatch.setattr(paired_answers_study, "_first_alarm", lambda _, run, *__: alarms[run])
    row = paired_answers(study)[1]
    assert (row["delay_median"], row["delay_p90"], row["missed"]) == (107, None, 2)
    monkeypatch.setattr(sentinel_study, "first_alarm", lambda *_: None)
    row = sentinel(study)[-1]
    assert (row["delay_median"], row["delay_p90"], row["missed"], row["too_early"]) == (None, None, 10, 0)


def test_delays_count_early_alarms_separately_and_censor_missed_changes():
    row = censored_delay_row("stream", [100, 310, None])
    assert (row["too_early"], row["missed"], row["runs"]) == (1, 1, 3)
    assert row["delay_mean"] == (10 + AFTER) / 2
    assert np.isnan(censored_delay_row("stream", [100])["delay_median"])


def test_an_unknown_study_names_the_known_ones():
    with pytest.raises(DataError, match="no study 'speed': choose one of drift: a switch of domain"):
        find_study("speed")
