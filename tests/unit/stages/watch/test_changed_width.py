"""A restart with another `bucket_seconds`: each event counts once, including events in open buckets."""

import random

import pytest
from support.signal_log import MODEL, Level, LevelDetector, rules, score_tick, signal_event

from stream.stages.shared.state_codec import encode
from stream.stages.watch.buckets import Offer
from stream.stages.watch.machine import PartitionWatch
from stream.stages.watch.records import RESET
from stream.stages.watch.state import SourcesState, decode_stream, order
from stream.wire import Tick, stream_key

KEY = stream_key("acme", MODEL, "input")
START, SECONDS, EVENTS = 1000.0, 300, 200


def recorded(seed):
    """Return events, and ticks per second that continue after the last event."""
    random_ = random.Random(seed)
    times = sorted(START + random_.random() * SECONDS for _ in range(EVENTS))
    events = [(time, signal_event(f"r{number}", time, features={"x": 1.0})) for number, time in enumerate(times)]
    ticks = [(START + second, score_tick(0, {"s": START + second})) for second in range(1, SECONDS + 120)]
    return [event for _, event in sorted(events + ticks, key=lambda pair: pair[0])]


class Worker:
    """Runs of the stage over one log; table, watermark and acknowledged offsets are kept between runs."""

    def __init__(self, log):
        self.log = log
        self.table = {}
        self.sources = SourcesState()
        self.acknowledged = set()
        self.findings = []

    def run(self, bucket_seconds, end, limit=1.0):
        """Read from the first offset that is not acknowledged to offset `end`.

        If `limit` has changed, the detector is first rebuilt from the log before that offset.
        """
        machine = PartitionWatch(
            rules(
                1,
                {"*": {"bucket_seconds": bucket_seconds}},
                detectors=lambda _: {"drift": LevelDetector(Level(limit=limit))},
            ),
            stored=self.table.get,
        )
        for key, value in self.table.items():
            machine.load(key, value)
        start = next(offset for offset in range(end) if offset not in self.acknowledged)
        if machine.lost():
            replayed = machine.replayer()
            for event in self.log[:start]:
                replayed.replay(event)
            self.table |= dict(machine.adopt(replayed))
        machine.resume(self.sources)
        for offset in range(start, end):
            self._read(machine, self.log[offset], offset)

    def _read(self, machine, event, offset):
        if not isinstance(event.data, Tick):
            if machine.offer(event, offset) is not Offer.HELD:
                self.acknowledged.add(offset)
            return
        if machine.tick(event.data, offset):
            for closed in machine.closed():
                assert closed.key not in self.table or order(KEY.encode(), closed.state) > self.order
                self.findings += [finding.data for finding in closed.findings]
                self.table[closed.key] = closed.state
                self.acknowledged |= set(closed.tokens)
        self.acknowledged.add(offset)
        lanes, value = machine.watermark.lanes, machine.watermark.value
        self.sources = SourcesState(offset=machine.offset, lanes=lanes, value=value)

    @property
    def order(self):
        return order(KEY.encode(), self.table[KEY])


@pytest.mark.parametrize("widths", [(30, 10), (30, 45), (60, 7), (7, 60), (20, 5), (10, 30)])
@pytest.mark.parametrize("seed", range(5))
def test_each_event_counts_once_and_the_times_of_windows_increase(widths, seed):
    log = recorded(seed)
    worker = Worker(log)
    worker.run(widths[0], random.Random(seed).randrange(160, len(log) - 150))
    worker.run(widths[1], len(log))
    assert worker.findings[-1].details["events"] == EVENTS
    times = [finding.time for finding in worker.findings]
    assert times == sorted(set(times))


@pytest.mark.parametrize("widths", [(30, 10), (30, 45), (60, 7), (7, 60), (20, 5), (10, 30)])
@pytest.mark.parametrize("seed", range(5))
def test_each_event_counts_once_for_a_detector_whose_options_change_with_the_width(widths, seed):
    log = recorded(seed)
    worker = Worker(log)
    worker.run(widths[0], random.Random(seed).randrange(160, len(log) - 150))
    worker.run(widths[1], len(log), limit=2.0)
    assert worker.findings[-1].details["events"] == EVENTS
    assert [finding.feature for finding in worker.findings].count(RESET) == 1


def test_a_state_with_the_new_width_is_never_older_than_the_state_with_the_earlier_width():
    """The table keeps the newer of two states, and the rebuilt state of an idle stream has no newer bucket."""
    state = decode_stream(encode({"seconds": 30.0, "last_closed": 4, "last_event": 4}))
    assert order(KEY.encode(), encode(state.resized(60.0))) == order(KEY.encode(), encode(state)) == 150.0
