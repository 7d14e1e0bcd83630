"""A source with a wrong clock changes no finding of the other sources. test_worlds.py covers order, duplicates and crashes."""

import random

import msgspec
import pytest
from support.protocol.oracle import bucket_findings
from support.protocol.parts import KAFKA, TENANTS, length_detectors
from support.signal_log import interleaved, lanes, rules, signal_event

from stream.stages.watch.buckets import Offer
from stream.stages.watch.machine import PartitionWatch
from stream.wire import Signal, Tick

START = 1_000_000.0
SECONDS = 200


def make(seed):
    """Return (source, inference partition, signal) of two sources."""
    random_ = random.Random(seed)
    found = []
    for number in range(4 * SECONDS):
        where = {"tenant": f"t{random_.randrange(2)}", "features": {"characters": random_.gauss(50, 20)}}
        signal = signal_event(f"r{number}", START + random_.random() * SECONDS, **where)
        found.append((f"s{random_.randrange(2)}", random_.randrange(3), signal))
    return found


def with_odd_source(recorded, step):
    """Return lanes with a source ``odd`` whose time is wrong after 50 s: `step` seconds ahead, or unchanged if `step` is negative."""

    def shown(second):
        return START + (second if second < 50 else second + step if step > 0 else 50)

    result = []
    for number, lane in enumerate(recorded):
        mixed, second = [], 0
        for event in lane:
            if not isinstance(event.data, Tick):
                mixed.append(event)
                continue
            if second % len(recorded) == number:
                odd = {"tenant": "odd", "features": {"characters": 1.0}}
                mixed.append(signal_event(f"odd{second}", shown(second + 0.5), **odd))
            second += 1
            ticked = msgspec.structs.replace(event.data, sources=event.data.sources | {"odd": shown(second)})
            mixed.append(msgspec.structs.replace(event, data=ticked))
        result.append(mixed)
    return result


@pytest.mark.parametrize("step", [3600, -3600])
@pytest.mark.parametrize("seed", range(3))
def test_a_clock_that_steps_by_an_hour_does_not_change_the_windows_of_other_sources(step, seed):
    """F13: capture never decreases the time of a source. After a step back, the time stays the same, and the source becomes inactive."""
    events = make(seed)
    log = with_odd_source(lanes(events, SECONDS, START, 3), step)
    ended = dict.fromkeys(range(KAFKA.stream_partitions), START + SECONDS)
    expected = bucket_findings([event.data for _, _, event in events], ended)
    for order in range(2):
        machine, late, found = PartitionWatch(rules(3, TENANTS, length_detectors)), 0, {}
        for event in interleaved(log, random.Random(seed + order)):
            if isinstance(event.data, Signal):
                late += machine.offer(event, None) is Offer.LATE
            elif machine.tick(event.data):
                findings = [one for closed in machine.closed() for one in closed.findings]
                found |= {one.id: (one.data.statistic, one.data.details) for one in findings}
        assert expected
        assert {name: one for name, one in found.items() if name in expected} == expected
        assert late > 0 if step < 0 else late == 0
        assert machine.watermark.released() == ({"odd"} if step < 0 else set())
