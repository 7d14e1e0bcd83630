"""Errors after a long time without any."""

import numpy as np
import pytest
from support.observed_answers import answers

from detectors.base import Observation
from detectors.registry import create_stream

OPTIONS = {"alarm_every_events": 100, "reference_events": 50, "daily_cycle": False}


@pytest.mark.parametrize("size", [1, 50])
def test_neither_many_successes_nor_a_single_failure_is_an_alarm(size):
    detector = create_stream("anomaly", OPTIONS)
    errors = [0.0] * 2_000 + [1.0] + [0.0] * 49
    events = [Observation(id=str(at), time=float(at), features={"error": error}) for at, error in enumerate(errors)]
    findings = [detector.update_many(events[at : at + size]) for at in range(0, len(events), size)]
    assert max(finding.statistic / finding.limit for finding in findings if finding) < 0.1


@pytest.mark.parametrize("seed", range(2))
def test_an_outage_after_many_successes_is_an_alarm_within_three_failures(seed):
    rng, detector = np.random.default_rng(seed), create_stream("anomaly", OPTIONS | {"alarm_every_events": 1_000})
    detector.update_many(answers(rng, 3_000, "a", failing=0.0))
    assert [detector.update_many([event]).alarm for event in answers(rng, 3, "b", failing=1.0)][-1]
