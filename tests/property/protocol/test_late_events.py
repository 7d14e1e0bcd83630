"""Sequences of late events, kills and ticks that random worlds contain only once in a thousand."""

import asyncio
from contextlib import ExitStack, contextmanager

import pytest
from support.protocol.checks import check_rest
from support.protocol.commits import Commits
from support.protocol.mutations import MUTATIONS
from support.protocol.parts import KAFKA
from support.protocol.record import Record
from support.protocol.virtual_time import START, VirtualLoop
from support.protocol.world import open_world
from support.signal_log import score_tick, signal_event

from stream.wire import encode, partition_for

REST_SECONDS = 20


class Watch:
    """Write signals and ticks as score does, and control one watch worker. The table and the offsets outlive the worker."""

    def __init__(self, loop, world):
        self.loop = loop
        self.world = world
        self.time = START
        self.sent = 0

    def event(self, ahead, **where):
        """Send an event whose time is `ahead` seconds after event time; if `ahead` is negative, the event can be late."""
        event = signal_event(f"r{self.sent}", self.time + ahead, features={"characters": 7.0}, **where)
        self.sent += 1
        self._append(partition_for(event.partitionkey, KAFKA.stream_partitions), event)

    def tick(self, seconds):
        self.time += seconds
        for lane in range(KAFKA.partitions):
            for number in range(KAFKA.stream_partitions):
                self._append(number, score_tick(lane, {"s0": self.time, "s1": self.time}))

    def kill(self):
        """Kill the worker after its next effect."""
        self.world.processes["watch-0"].fuse = 1

    def commit(self):
        worker = self.world.workers["watch-0"]
        worker.process.spawn(worker.consumer.commit())

    def wait(self, seconds):
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def _append(self, number, event):
        record = encode(event)
        self.world.kafka.append(KAFKA.names.signals, number, record.key, record.value, record.headers)


@contextmanager
def watching():
    """Run a worker. After the block, advance time until the world is idle, and check the invariant I3 (findings and states)."""
    with ExitStack() as stack:
        loop = VirtualLoop("watch")
        asyncio.set_event_loop(loop)
        stack.callback(loop.close)
        stack.callback(asyncio.set_event_loop, None)
        world = stack.enter_context(open_world("watch", loop))
        stack.callback(lambda: loop.run_until_complete(world.end()))
        record = Record(world.kafka)
        world.kafka.on_commit.append(Commits(record, world.violated))
        watch = Watch(loop, world)
        loop.call_soon(world.supervise, "watch-0")
        watch.wait(3)
        yield watch
        for _ in range(4):
            watch.tick(5)
        watch.wait(REST_SECONDS)
        check_rest(world, record, ("I3",))
        assert world.violations == {}


def late_before_and_after_a_restart():
    """Send the first event of a stream late, to a stage that was restarted."""
    with watching() as watch:
        for _ in range(4):
            watch.tick(5)
        watch.wait(3)
        watch.commit()
        watch.wait(1)
        watch.kill()
        watch.tick(0.5)
        watch.wait(3)
        assert watch.world.processes["watch-0"].fuse is None, "the worker was not killed"
        watch.event(-8)
        watch.wait(3)


def test_a_late_event_is_late_after_a_restart():
    late_before_and_after_a_restart()


def test_an_event_is_late_also_if_event_time_is_not_published_yet():
    """Watch publishes event time once each second of event time, so that a bucket can end before watch publishes the time."""
    with watching() as watch:
        watch.tick(1.5)
        watch.event(0, tenant="beta")
        watch.tick(0.5)
        watch.event(-1)
        watch.wait(1)


def test_the_mutation_watermark_forgotten_violates_the_invariant():
    with MUTATIONS["watermark forgotten"], pytest.raises(AssertionError):
        late_before_and_after_a_restart()
