"""A small share of slow requests, which hardly changes the mean latency."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.registry import create_stream


def answers(rng, count, tag, *, spread, share=0.0, times=30.0, median=1.0):
    """Return answers with log-normal latencies, of which a `share` takes `times` as long."""
    latencies = median * rng.lognormal(0.0, spread, count) * np.where(rng.random(count) < share, times, 1.0)
    return [
        Observation(id=f"{tag}{at}", time=10.0 * at, features={"latency_seconds": latency})
        for at, latency in enumerate(latencies.tolist())
    ]


def alarms(spread, seed, usual=0.0, **changed):
    """Return the events since the change at which alarms were reported, and the last finding, for windows of three events."""
    rng, detector = np.random.default_rng(seed), create_stream("anomaly", {"daily_cycle": False})
    before = answers(rng, 1_200, "a", spread=spread, share=usual)
    events = before + answers(rng, 600, "b", spread=spread, **changed)
    findings = [detector.update_many(events[at : at + 3]) for at in range(0, len(events), 3)]
    at = [3 * row - len(before) for row, finding in enumerate(findings) if finding is not None and finding.alarm]
    return at, findings[-1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_a_twentieth_of_slow_requests_is_an_alarm_that_states_their_share_and_their_time(spread, seed):
    at, finding = alarms(spread, seed, share=0.05)
    assert at
    assert at[0] >= 0
    assert finding.feature == "slow_requests"
    assert 0.02 < finding.details["recent_mean"] < 0.1
    assert finding.details["reference_mean"] < 0.01
    assert 4.5 < finding.details["slow_seconds"] < 30.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("median", [1.06, 1.3])
def test_latencies_below_their_minimum_effect_are_no_slow_requests(median, seed):
    at, _ = alarms(0.3, seed, median=median)
    assert at == []


@pytest.mark.parametrize("seed", range(3))
def test_a_share_of_slow_requests_that_was_there_before_is_no_alarm(seed):
    at, finding = alarms(0.3, seed, usual=0.05, share=0.05)
    assert at == []
    assert finding is not None


def test_a_burst_of_slow_requests_that_ends_before_its_window_is_an_alarm():
    rng, detector = np.random.default_rng(0), create_stream("anomaly", {"daily_cycle": False})
    detector.update_many(answers(rng, 600, "a", spread=0.1))
    finding = detector.update_many(answers(rng, 60, "b", spread=0.1, share=0.5) + answers(rng, 600, "c", spread=0.1))
    assert finding is not None
    assert (finding.alarm, finding.feature) == (True, "slow_requests")
