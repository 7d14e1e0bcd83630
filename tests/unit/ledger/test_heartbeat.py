"""The ledger's heartbeat: whether every source is inactive."""

import pytest

from stream.ledger.decisions import Heartbeat
from stream.ledger.service import EventTimeProgress


class Clocks:
    """The clock of a machine, which can step, and its monotonic clock."""

    def __init__(self):
        self.step = self.seconds = 0.0

    def wall(self):
        return 1_700_000_000.0 + self.seconds + self.step

    def monotonic(self):
        return 50.0 + self.seconds


def heartbeat(progress, log_time):
    wall_time, advanced_at = progress.beat(log_time)
    return Heartbeat(wall_time=wall_time, log_time=log_time, advanced_at=advanced_at, silence_seconds=30.0)


@pytest.mark.parametrize("step", [0.0, -3600.0, 3600.0, 3.2e8])
def test_a_step_of_the_clock_neither_hides_nor_feigns_that_every_source_is_inactive(step):
    clocks = Clocks()
    progress = EventTimeProgress(clocks.wall, clocks.monotonic)
    assert not heartbeat(progress, 100.0).inactive
    clocks.step, clocks.seconds = step, 29.0
    assert not heartbeat(progress, 100.0).inactive
    clocks.seconds = 31.0
    found = heartbeat(progress, 100.0)
    assert found.inactive
    assert found.wall_time - found.advanced_at == pytest.approx(31.0, abs=1e-3)


def test_event_time_that_decreases_advanced_too():
    clocks = Clocks()
    progress = EventTimeProgress(clocks.wall, clocks.monotonic)
    heartbeat(progress, 5000.0)
    clocks.seconds = 31.0
    assert not heartbeat(progress, 100.0).inactive
