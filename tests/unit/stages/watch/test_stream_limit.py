"""Streams that watch removes: above a tenant's limit the longest unused, also if the process is killed meanwhile."""

from math import inf
from random import Random

import pytest
from support.signal_log import rules, score_tick, signal_event

from stream.replay.watch_chain import WatchChain
from stream.stages.shared.state_codec import encode
from stream.stages.watch import stream_limit
from stream.stages.watch.buckets import Offer
from stream.stages.watch.machine import PartitionWatch
from stream.stages.watch.state import SourcesState, decode_sources
from stream.wire import Signal, Tick, stream_key

START = 1_000_000.0


@pytest.fixture(autouse=True)
def two(monkeypatch):
    """Allow two streams of a tenant."""
    monkeypatch.setattr(stream_limit, "STREAMS_PER_TENANT", 2)


def key(part, tenant="acme"):
    return stream_key(tenant, "m", "input", part)


def used(part, at, tenant="acme"):
    """Return a signal of an event `at` seconds after the start; each part group has its own stream."""
    return signal_event(f"{part}-{at}", START + at, tenant=tenant, part=part, features={"x": 1.0})


def tick(at):
    return score_tick(0, {"s1": START + at})


class KilledError(Exception):
    """The process was killed."""


class Stage:
    """The stage with its log and its table, in the order of effects of the agent; `findings` is {id: record}."""

    def __init__(self, *log):
        self.log = list(log)
        self.table = {}
        self.sources = SourcesState()
        self.acknowledged = set()
        self.findings = {}
        self.writes = 0

    def run(self, kill_at=inf):
        """Start, and read the log from the first record that is not acknowledged; write number `kill_at` does not happen."""
        self.kill_at = kill_at
        machine = PartitionWatch(rules(1), stored=self.table.get)
        for name, value in self.table.items():
            machine.load(name, value)
        start = min(set(range(len(self.log))) - self.acknowledged, default=len(self.log))
        if machine.resume(self.sources):
            for offset in range(machine.offset + 1, start):
                if isinstance(self.log[offset].data, Tick):
                    machine.tick(self.log[offset].data, offset)
        for offset in range(start, len(self.log)):
            self._read(machine, self.log[offset], offset)
        return self

    def _read(self, machine, event, offset):
        if isinstance(event.data, Signal):
            if machine.offer(event, offset) is not Offer.HELD:
                self.acknowledged.add(offset)
            return
        if removed := machine.remove_surplus():
            self._write()
            watermark = machine.watermark
            state = SourcesState(offset=machine.offset, lanes=watermark.lanes, value=watermark.value)
            self.sources = decode_sources(encode(state))
            for name in removed:
                self._write()
                self.table.pop(name, None)
        for closed in machine.closed() if machine.tick(event.data, offset) else ():
            self.findings |= {finding.id: finding.data for finding in closed.findings}
            self._write()
            self.table[closed.key] = closed.state
            self.acknowledged |= set(closed.tokens)
        self.acknowledged.add(offset)

    def _write(self):
        if self.writes == self.kill_at:
            raise KilledError
        self.writes += 1


def test_a_new_stream_replaces_the_longest_unused_of_its_tenant_only():
    log = [
        tick(0),
        used("a", 1),
        used("z", 1, "other"),
        used("b", 11),
        tick(20),
        used("a", 21),
        used("c", 31),
        tick(34),
    ]
    assert Stage(*log, tick(34.5)).run().table.keys() == {key("a"), key("b"), key("z", "other")}, (
        "c is in an open window"
    )
    assert Stage(*log, tick(40), tick(41)).run().table.keys() == {key("a"), key("c"), key("z", "other")}


def test_a_removed_stream_begins_again_and_its_open_window_is_kept():
    log = [tick(0), used("a", 1), tick(5), used("b", 6), used("c", 6), tick(11), used("a", 12), tick(12)]
    assert Stage(*log).run().table.keys() == {key("b"), key("c")}
    found = Stage(*log, tick(17), tick(18)).run()
    assert found.table.keys() == {key("a"), key("c")}
    assert found.table[key("a")] == Stage(tick(0), used("a", 12), tick(17)).run().table[key("a")]


def taking_turns(seed):
    """Return a log in which streams are removed and begin again, with events that are out of order."""
    random, log = Random(seed), [tick(0)]
    for second in range(1, 45):
        log += [used(random.choice("abcdef"), second + random.choice((-3, 0, 6)) + 0.5), tick(max(0, second - 4))]
    return [*log, tick(80), tick(81)]


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_between_any_two_writes_changes_neither_findings_nor_states(seed):
    expected = Stage(*taking_turns(seed)).run()
    assert len(expected.table) == 2
    for kill_at in range(expected.writes):
        stage = Stage(*taking_turns(seed))
        with pytest.raises(KilledError):
            stage.run(kill_at)
        stage.run()
        assert (stage.findings, stage.table) == (expected.findings, expected.table), f"killed at write {kill_at}"


def test_a_replay_has_the_findings_of_the_stage():
    log = taking_turns(1)
    chain = WatchChain(rules(1))
    found = {one.id: one.data for event in log for one in chain.feed(event) if not isinstance(one.data, Tick)}
    assert found == Stage(*log).run().findings
