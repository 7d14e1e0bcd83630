"""Daily cycles of the latency."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.registry import create_stream

DAY, WINDOW, EVENTS_PER_DAY = 86_400.0, 120.0, 4_000


def alarms(seed, days, change=None):
    """Return the times of the windows with an alarm; latencies are 2.5 times as long from 8 to 18 h, and 3 times after `change`."""
    rng, detector = np.random.default_rng(seed), create_stream("anomaly")
    times = np.sort(rng.uniform(0.0, days * DAY, int(days * EVENTS_PER_DAY)))
    hours = times % DAY / 3600.0
    medians = np.where((hours >= 8.0) & (hours < 18.0), 2.5, 1.0) * np.where(times >= (change or np.inf), 3.0, 1.0)
    values = medians * rng.lognormal(0.0, 0.3, len(times))
    edges = np.searchsorted(times, np.arange(WINDOW, days * DAY + WINDOW, WINDOW))
    found, at = [], 0
    for number, end in enumerate(edges.tolist()):
        events = [
            Observation(id=f"{seed}-{row}", time=float(times[row]), features={"latency_seconds": float(values[row])})
            for row in range(at, end)
        ]
        finding, at = detector.update_many(events), end
        if finding is not None and finding.alarm:
            found.append(number * WINDOW)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_office_hours_cause_no_alarm_from_the_first_day_on(seed):
    assert alarms(seed, 3) == []


def test_a_change_on_the_second_day_with_office_hours_is_detected_within_an_hour():
    change = 1.4 * DAY
    found = alarms(0, 1.5, change)
    assert found[0] == pytest.approx(change + 1_800.0, abs=1_800.0)
