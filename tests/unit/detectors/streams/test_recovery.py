"""The end of alarms: not before the end of a change, also if only a part of the values changed."""

import numpy as np
import pytest
from support.observed_answers import answers

from detectors.base import Observation
from detectors.registry import create_stream

EVENTS = 1_000


def windows(detector, events):
    """Return for each window of three events whether it is an alarm."""
    findings = [detector.update_many(events[at : at + 3]) for at in range(0, len(events), 3)]
    return [finding is not None and finding.alarm for finding in findings]


def slow(rng, median, spread=0.1, timeouts=0.0, timeout=60.0):
    """Return answers with log-normal latencies, of which the share `timeouts` are timeouts."""
    values = np.where(rng.random(EVENTS) < timeouts, timeout, median * rng.lognormal(0.0, spread, EVENTS))
    return [
        Observation(id=f"{median}-{at}", time=at * 10.0, features={"latency_seconds": float(value)})
        for at, value in enumerate(values)
    ]


def prompts(rng, share, tag, count=EVENTS):
    """Return prompts of three subjects, of which a `share` has another subject."""
    subjects = np.where(rng.random(count) < share, 7, rng.integers(3, size=count))
    vectors = np.eye(96)[subjects] + 0.12 * rng.normal(size=(count, 96))
    return [
        Observation(
            id=f"{tag}{at}",
            time=at * 10.0,
            features={"characters": float(rng.poisson(40))},
            embedding=(vector / np.linalg.norm(vector)).astype("<f2").tobytes(),
        )
        for at, vector in enumerate(vectors)
    ]


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_the_alarm_about_a_part_of_the_traffic_lasts_as_long_as_the_change(share):
    rng, detector = np.random.default_rng(1), create_stream("drift", {"daily_cycle": False})
    assert not any(windows(detector, prompts(rng, 0.0, "a", 400)))
    alarms = windows(detector, prompts(rng, share, "b"))
    first = alarms.index(True)
    assert first < 30
    assert all(alarms[first:])
    assert not any(windows(detector, prompts(rng, 0.0, "c", 400))[-50:])


@pytest.mark.parametrize("seed", range(3))
def test_the_alarm_about_latencies_that_overlap_with_the_usual_ones_lasts_as_long_as_the_change(seed):
    rng = np.random.default_rng(seed)
    detector = create_stream("anomaly", {"daily_cycle": False, "min_latency_ratio": 1.0})
    windows(detector, slow(rng, 1.0, spread=1.0))
    alarms = windows(detector, slow(rng, 2.0, spread=1.0))
    assert np.mean(alarms[alarms.index(True) :]) > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_timeouts_neither_end_nor_begin_an_alarm(seed):
    rng = np.random.default_rng(seed)
    large, small = (create_stream("anomaly", {"daily_cycle": False}) for _ in range(2))
    windows(large, slow(rng, 1.0, timeouts=0.02))
    alarms = windows(large, slow(rng, 2.5, timeouts=0.02))
    assert all(alarms[alarms.index(True) :])
    windows(small, slow(rng, 1.0, timeouts=0.01, timeout=30.0))
    assert not any(windows(small, slow(rng, 1.06, timeouts=0.01, timeout=30.0)))


@pytest.mark.parametrize("seed", range(3))
def test_a_false_alarm_ends(seed):
    """Usual values of one feature; with a budget of one false alarm in 300 events there are many."""
    rng = np.random.default_rng(seed)
    detector = create_stream("drift", {"daily_cycle": False, "alarm_every_events": 300, "topics": 0})
    alarms = windows(detector, prompts(rng, 0.0, "a", 6_000))
    starts = [at for at in range(1, len(alarms)) if alarms[at] and not alarms[at - 1]]
    assert len(starts) >= 5
    assert np.mean(alarms) < 0.6


def test_a_long_rise_of_errors_that_is_too_small_does_not_hide_an_outage():
    detector = create_stream("anomaly", {"daily_cycle": False, "min_error_points": 6.0})
    rng = np.random.default_rng(1)

    def send(tag, buckets, size, failing):
        for bucket in range(buckets):
            finding = detector.update_many(answers(rng, size, f"{tag}{bucket}-", failing=failing))
        return finding

    send("a", 30, 100, 0.002)
    small = send("b", 60, 100, 0.015)
    assert small.details["too_small"]
    assert small.feature == "error"
    outage = send("c", 8, 10, 1.0)
    assert outage.alarm
    assert outage.feature == "error"
