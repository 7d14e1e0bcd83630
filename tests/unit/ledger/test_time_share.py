"""The share of time for periodic work of the ledger, such as the coverage gauges (a row per hour, tenant, model and
detector).
"""

import pytest

from stream.ledger.time_share import TimeShare


@pytest.mark.parametrize(("seconds", "runs"), [(0.001, 100), (0.25, 20), (5.0, 1)])
def test_slow_work_runs_less_often_and_fast_work_each_time(seconds, runs):
    now, done = [0.0], []

    def work():
        now[0] += seconds
        done.append(now[0])

    share = TimeShare(0.05, lambda: now[0])
    for beat in range(1, 101):
        now[0] = max(now[0], float(beat))
        share.run(work)
    assert len(done) == runs
