"""References from an incident or a cold start."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.registry import create_stream


def alarms(latencies, seed):
    """Return the first events of the buckets with an alarm; there is an event every 20 s."""
    detector = create_stream("anomaly")
    events = [
        Observation(id=f"{seed}-{row}", time=20.0 * row, features={"latency_seconds": value})
        for row, value in enumerate(latencies.tolist())
    ]
    found = [(row, detector.update_many(events[row : row + 30])) for row in range(0, len(events), 30)]
    return [row for row, finding in found if finding is not None and finding.alarm]


@pytest.mark.parametrize("seed", range(3))
def test_a_rise_is_found_although_the_first_requests_were_even_slower(seed):
    latencies = np.random.default_rng(seed).lognormal(0.0, 0.5, 6_500)
    latencies[:220] *= 10
    latencies[6_000:] *= 5
    found = alarms(latencies, seed)
    assert found[:1] != []
    assert found[0] >= 6_000
