"""The watchdog and a log that is shorter than what was read."""

from types import SimpleNamespace

from faust.types import TP

from stream.kafka.ack_tracker import AckTracker
from stream.runtime.watchdog import Watchdog

PLACE = TP("weir.inference", 0)


class Looking(Watchdog):
    """A watchdog that is told the end offsets."""

    end_offset = 0

    async def _ends(self, partitions):
        return dict.fromkeys(partitions, self.end_offset)


def watched(read):
    """Return a watchdog over a worker that has read and finished `read` records, and what it was ended for."""
    tracker = AckTracker()
    tracker.assign([PLACE], 1)
    for offset in range(read):
        tracker.deliver(PLACE, offset, 1)
        tracker.ack(PLACE, offset, 1)
    app = SimpleNamespace(
        started_consumer=SimpleNamespace(tracker=tracker, committed=lambda _tp: None),
        rebalancing=False,
        topics=SimpleNamespace(acks_enabled_for=lambda _topic: True),
        held=lambda: 0,
        watchdog_seconds=60.0,
    )
    reasons = []
    return Looking(app, reasons.append), reasons


async def test_a_worker_whose_log_was_deleted_is_ended():
    dog, reasons = watched(read=50)
    dog.end_offset = 7
    for _ in range(3):
        assert await dog._waiting() == 0, "nothing waits, so that only this shows it"
    assert reasons == ["the log was deleted or cut: weir.inference-0 ends at 7, 50 were read"]


async def test_a_leader_that_is_behind_for_a_moment_ends_nobody():
    dog, reasons = watched(read=50)
    for end in (49, 48, 50, 49, 49, 60):
        dog.end_offset = end
        await dog._waiting()
    assert reasons == []
    assert await dog._waiting() == 10
