"""The watchdog: the records that count as work, and a log that ends before the worker's position."""

from types import SimpleNamespace

from faust.types import TP

from stream.kafka.ack_tracker import AckTracker
from stream.runtime.watchdog import Watchdog

PARTITION = TP("weir.inference", 0)


class Client:
    """A client that returns `end` as the end offset of each partition."""

    end = 0

    async def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions):
        return dict.fromkeys(partitions, self.end)


def watched(read, held=0):
    """Return a watchdog and the list of reasons for which it ended the worker.

    The worker has read `read` records and finished all except the last `held`.
    """
    tracker = AckTracker()
    tracker.assign([PARTITION], 1)
    for offset in range(read):
        tracker.deliver(PARTITION, offset, 1)
        if offset < read - held:
            tracker.ack(PARTITION, offset, 1)
    app = SimpleNamespace(
        started_consumer=SimpleNamespace(tracker=tracker, committed=lambda _tp: None),
        rebalancing=False,
        topics=SimpleNamespace(acks_enabled_for=lambda _topic: True),
        held={PARTITION.topic: lambda: held},
        watchdog_seconds=60.0,
    )
    reasons = []
    return Watchdog(app, reasons.append), reasons


async def test_a_worker_whose_log_was_deleted_is_ended():
    dog, reasons = watched(read=50)
    client = Client()
    client.end = 7
    for _ in range(3):
        assert (await dog._waiting(client))[""] == 0, (
            "no record is waiting, so only the end of the log shows the deletion"
        )
    assert reasons == ["the log was deleted or cut: weir.inference-0 ends at 7, 50 were read"]


async def test_records_that_are_read_while_the_end_offsets_arrive_do_not_end_the_worker():
    """On a busy machine, the answer with the end offsets is older than the worker's position at each check."""
    dog, reasons = watched(read=50)
    tracker = dog._app.started_consumer.tracker

    class SlowClient(Client):
        async def end_offsets(self, partitions):
            found = dict.fromkeys(partitions, tracker.delivered(PARTITION))
            tracker.deliver(PARTITION, tracker.delivered(PARTITION), 1)
            return found

    for _ in range(5):
        await dog._waiting(SlowClient())
    assert reasons == []


async def test_a_partition_leader_that_is_behind_for_a_short_time_does_not_end_the_worker():
    dog, reasons = watched(read=50)
    client = Client()
    for end in (49, 48, 50, 49, 49, 60):
        client.end = end
        await dog._waiting(client)
    assert reasons == []
    assert await dog._waiting(client) == {PARTITION.topic: 0, "": 10}


async def test_events_in_open_buckets_do_not_count_as_work():
    dog, _ = watched(read=50, held=20)
    client = Client()
    client.end = 53
    assert await dog._waiting(client) == {PARTITION.topic: 0, "": 3}
