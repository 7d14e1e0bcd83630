"""Odd clocks change no finding of the others; the protocol's worlds cover order, repetition and crashes."""

import random
from itertools import groupby

import msgspec
import pytest
from support.signal_log import LevelDetector, interleaved, lanes, rules, signal_event

from stream.stages.watch.buckets import Offer, observation_of
from stream.stages.watch.machine import PartitionWatch
from stream.wire import Signal, Tick
from stream.wire.ids import bucket_finding_id

EMPTY = 3
START = 1_000_000.0


def make(seed, *, sources=2, partitions=3, tenants=2, seconds=60, rate=4):
    random_ = random.Random(seed)
    return [
        (
            f"s{random_.randrange(sources)}",
            random_.randrange(partitions),
            signal_event(
                f"r{number}",
                START + random_.random() * seconds,
                tenant=f"t{random_.randrange(tenants)}",
                features={"x": random_.gauss(3 * (random_.random() < 0.1), 1)},
                principal=f"k{number % 3}",
            ),
        )
        for number in range(seconds * rate)
    ]


def oracle(events, watermark):
    """Return {finding id: (bucket, statistic, alarm, total)} of a sorted pass over all signals, with no machine of ours."""
    result = {}
    streams = sorted({event.partitionkey for event in events})
    for key in streams:
        ordered = sorted({event.id: event for event in events if event.partitionkey == key}.values(), key=_order)
        buckets = {
            number: [observation_of(event.data) for event in group]
            for number, group in groupby(ordered, key=lambda event: int(event.time // 5))
        }
        wanted = {number + step for number in buckets for step in range(EMPTY + 1)}
        detector = LevelDetector()
        for number in sorted(number for number in wanted if number < int(watermark // 5)):
            finding = detector.update_many(buckets.get(number, []))
            if finding is not None:
                identity = bucket_finding_id(key, "drift", number)
                result[identity] = (number, finding.statistic, finding.alarm, finding.details["total"])
    return result


def _order(event):
    return (event.time, event.data.event_id)


def seen(events):
    return {
        event.id: (event.data.bucket, event.data.statistic, event.data.alarm, event.data.details["total"])
        for event in events
        if not isinstance(event.data, Tick)
    }


@pytest.mark.parametrize("step", [3600, -3600])
@pytest.mark.parametrize("seed", range(3))
def test_a_clock_that_steps_by_an_hour_leaves_the_windows_of_the_others_as_they_are(step, seed):
    """F13. Capture never lets a source's times go back: after a step back they stand still, and it falls silent."""
    events = [(source, lane, event) for source, lane, event in make(seed, sources=2, seconds=200)]
    stepped = [
        ("odd", number % 3, signal_event(f"odd{number}", time, tenant="odd", features={"x": 1.0}))
        for number in range(200)
        for time in [START + number + 0.5]
    ]
    log = _with_odd_source(events, stepped, step)
    for order in range(2):
        machine = PartitionWatch(rules(3))
        late = 0
        found = []
        for event in interleaved(log, random.Random(seed + order)):
            if isinstance(event.data, Signal):
                late += machine.offer(event, None) is Offer.LATE
            elif machine.tick(event.data):
                found += [item for closed in machine.closed() for item in closed.findings]
        expected = oracle([event for _, _, event in events], START + 200)
        assert {key: value for key, value in seen(found).items() if key in expected} == expected
        assert late > 0 if step < 0 else late == 0
        assert machine.watermark.released() == ({"odd"} if step < 0 else set())


def _with_odd_source(events, stepped, step):
    """Return lanes in which source ``odd`` goes wrong after 50 s: leaps ahead, or stands still."""

    def shown(time):
        if time < START + 50:
            return time
        return time + step if step > 0 else START + 50

    recorded = lanes(events, 200, START, 3)
    by_second = {}
    for _, lane, event in stepped:
        time = shown(event.time)
        moved = signal_event(event.data.request_id, time, tenant="odd", features={"x": 1.0})
        by_second.setdefault((lane, int(event.time - START)), []).append(moved)
    result = []
    for number, lane in enumerate(recorded):
        mixed, second = [], 0
        for event in lane:
            if isinstance(event.data, Tick):
                mixed += by_second.get((number, second), [])
                second += 1
                sources = event.data.sources | {"odd": shown(START + second)}
                mixed.append(_ticked(event, sources))
            else:
                mixed.append(event)
        result.append(mixed)
    return result


def _ticked(event, sources):
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, sources=sources))
