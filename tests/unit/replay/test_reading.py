"""The order in which partitions are read, and the recorded verdict that belongs to an event."""

import asyncio
import random

import pytest
from support.ledger_log import aborted, end, request, verdict
from support.replay_log import NAMES, MemoryLog

from stream.replay.merged_log import merged
from stream.replay.plan import ReplayRequest
from stream.replay.recorded_verdicts import Absent, RecordedVerdicts
from stream.replay.verdict_flips import flip
from stream.replay.versions import Version
from stream.stages.score.records import verdict as verdict_of
from stream.stages.score.ticks import merge_ticks
from stream.wire import Event, Tick


def tick(time, source="s1"):
    return Event(
        id=f"{source}/tick/{time}", source=source, type=Tick.event_type, time=time, data=Tick(sources={source: time})
    )


def read(lanes):
    log = MemoryLog({NAMES.inference: lanes})

    async def all_of_it():
        return [item async for item in merged(log.reader(), NAMES.inference, len(lanes))]

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("seed", range(5))
def test_partitions_keep_their_order_and_are_never_further_apart_than_a_tick(seed):
    random_ = random.Random(seed)
    lanes = []
    for number in range(3):
        times = sorted(random_.uniform(0, 60) for _ in range(40))
        events = [request(f"p{number}-{index}", time) for index, time in enumerate(times)]
        lanes.append(sorted([*events, *(tick(float(second)) for second in range(1, 61))], key=lambda event: event.time))
    read_ = read(lanes)
    assert len(read_) == sum(map(len, lanes))
    for number, lane in enumerate(lanes):
        assert [item.event.id for item in read_ if item.partition == number] == [event.id for event in lane]
    newest = 0.0
    for item in read_:
        assert item.event.time > newest - 1.0 - 1e-9
        newest = max(newest, item.event.time)


def test_a_tick_of_one_id_on_every_partition_is_no_repetition_and_a_request_is():
    again = request("r1", 1.0)
    read_ = read([[again, tick(2.0), again], [tick(2.0)]])
    assert [item.event is None for item in read_ if item.partition == 0] == [False, False, True]
    assert all(item.event is not None for item in read_ if item.partition == 1)


def test_of_two_ends_the_one_that_was_told_is_decided_whichever_came_first():
    cut, told = aborted("r1", 2.0), end("r1", 3.0)
    for lane in ([cut, told], [told, cut]):
        read_ = read([[request("r1", 1.0), *lane, told]])
        assert [item.event for item in read_ if item.event in (told, cut)][-1] is not None
        assert [item.event for item in read_].count(told) == 1


def find(events, verdicts):
    log = MemoryLog({NAMES.verdicts: [verdicts]})
    recorded = RecordedVerdicts(log.reader(), NAMES.verdicts, 1, "pii")

    async def all_of_them():
        return [await recorded.find(0, event) for event in events]

    return asyncio.run(all_of_them())


def passed(time):
    return merge_ticks(0, 0, [tick(time)], "weir/score")


def test_verdicts_are_found_out_of_order_and_those_of_other_detectors_are_passed_over():
    events = [request(f"r{number}", float(number)) for number in range(3)]
    told = [
        verdict(events[2], "pii"),
        verdict(events[0], "toxicity"),
        verdict(events[1], "pii"),
        verdict(events[0], "pii"),
    ]
    assert [one.request_id for one in find(events, told)] == ["r0", "r1", "r2"]


def test_the_first_of_two_verdicts_counts():
    event = request("r0", 1.0)
    (found,) = find([event], [verdict(event, "pii", version="1"), verdict(event, "pii", version="2")])
    assert found.version == "1"


def test_what_score_went_past_is_missing_and_what_it_had_not_come_to_is_pending():
    events = [request("r0", 1.0), request("r1", 2.0), request("r2", 9.0)]
    found = find(events, [passed(1.5), verdict(events[1], "pii"), passed(3.0)])
    assert found[0] is Absent.MISSING
    assert found[1].request_id == "r1"
    assert found[2] is Absent.PENDING


LIMIT = Version(detector="pii", label="installed", version="1", threshold=0.6)


@pytest.mark.parametrize(
    ("recorded", "was_flagged", "fresh", "flips"),
    [
        (0.6000001, True, 0.5999999, True),
        (0.5999999, False, 0.6000001, True),
        (0.6000001, True, 0.6000002, False),  # no other decision
        (0.7, True, 0.5999999, False),  # more than the last bits
        (0.5999999, True, 0.5999998, False),  # flagged at another threshold
    ],
)
def test_a_flip_is_what_the_last_bits_decide(recorded, was_flagged, fresh, flips):
    event = request("r0", 1.0)
    blank = verdict_of(event, "pii", "1", None)
    old, new = (
        type(blank)(**{name: getattr(blank, name) for name in blank.__struct_fields__} | changed)
        for changed in (
            {"score": recorded, "flagged": was_flagged, "label": "ok"},
            {"score": fresh, "flagged": fresh >= 0.6, "label": "ok"},
        )
    )
    assert (flip(LIMIT, old, new) is not None) == flips


def test_what_a_replay_covers():
    asked = ReplayRequest(detector=LIMIT, against=LIMIT, since=100.0, until=200.0, warm_up_seconds=50.0, tenant="acme*")
    assert [asked.covers("acme-1", time) for time in (49.9, 50.0, 199.9, 200.0)] == [False, True, True, False]
    assert not asked.covers("other", 100.0)
    assert [asked.compares(time) for time in (99.9, 100.0, 200.0)] == [False, True, False]
