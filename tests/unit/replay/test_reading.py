"""The merge order of partitions, and the recorded verdict of an event."""

import asyncio
import random

import msgspec
import pytest
from support.events import tick
from support.ledger_log import aborted, end, request, verdict
from support.replay_log import NAMES, MemoryLog, plan_of

from stream.replay.merged_partitions import merged_partitions
from stream.replay.plan import ReplayRequest
from stream.replay.recorded_verdicts import Absent, RecordedVerdicts
from stream.replay.verdict_flips import flip
from stream.replay.versions import Version
from stream.stages.score.machine import verdict as verdict_of
from stream.stages.score.ticks import merge_ticks
from stream.wire.time_bound import AHEAD_SECONDS


def read(partitions, stored_at=None):
    """Return the merged records; `stored_at` are the times (seconds) at which Kafka stored those of each partition."""
    log = MemoryLog({NAMES.inference: partitions})
    for number, times in enumerate(stored_at or ()):
        records = zip(log.records[NAMES.inference, number], times, strict=True)
        log.records[NAMES.inference, number] = [
            msgspec.structs.replace(record, timestamp=int(time * 1000)) for record, time in records
        ]

    async def records():
        return [record async for record in merged_partitions(log.reader(), NAMES.inference, len(partitions))]

    return asyncio.run(records())


@pytest.mark.parametrize("seed", range(5))
def test_partitions_keep_their_order_and_are_at_most_one_tick_apart(seed):
    random_ = random.Random(seed)
    partitions = []
    for number in range(3):
        times = sorted(random_.uniform(0, 60) for _ in range(40))
        events = [request(f"p{number}-{index}", time) for index, time in enumerate(times)]
        ticks = [tick(float(second)) for second in range(1, 61)]
        partitions.append(sorted([*events, *ticks], key=lambda event: event.time))
    records = read(partitions)
    assert len(records) == sum(map(len, partitions))
    for number, events in enumerate(partitions):
        assert [one.event.id for one in records if one.partition == number] == [event.id for event in events]
    newest = 0.0
    for record in records:
        assert record.event.time > newest - 1.0 - 1e-9
        newest = max(newest, record.event.time)


def test_times_of_a_gateway_whose_clock_is_years_ahead_are_bounded_as_in_score():
    now, years = 1_800_000_000.0, 10 * 365 * 86_400.0
    seconds = [now + second for second in range(10)]
    ahead = [event for at in seconds for event in (request(f"a{at}", at + years), tick(at + years, source="ahead"))]
    right = [event for at in seconds for event in (request(f"r{at}", at), tick(at))]
    stored = [at for at in seconds for _ in range(2)]
    records = read([ahead, right], [stored, stored])
    for record in records:
        at = stored[record.offset]
        assert record.event.time == (at if record.partition else at + AHEAD_SECONDS)
    ticks = [record.event.data.sources for record in records if not record.partition and record.offset % 2]
    assert ticks == [{"ahead": at + AHEAD_SECONDS} for at in seconds]


def test_a_request_can_be_a_duplicate_and_a_tick_cannot():
    again = request("r1", 1.0)
    records = read([[again, tick(2.0), again], [tick(2.0)]])
    assert [one.event is None for one in records if one.partition == 0] == [False, False, True]
    assert all(one.event is not None for one in records if one.partition == 1)


@pytest.mark.parametrize("complete_first", [True, False])
def test_of_two_ends_the_complete_end_is_read_in_any_order(complete_first):
    substitute, complete = aborted("r1", 2.0), end("r1", 3.0)
    ends = [complete, substitute] if complete_first else [substitute, complete]
    events = [record.event for record in read([[request("r1", 1.0), *ends, complete]])]
    assert [event for event in events if event in (complete, substitute)][-1] is not None
    assert events.count(complete) == 1


def find(events, verdicts):
    log = MemoryLog({NAMES.verdicts: [verdicts]})
    recorded = RecordedVerdicts(log.reader(), NAMES.verdicts, 1, "pii")

    async def found():
        return [await recorded.find(0, event) for event in events]

    return asyncio.run(found())


def passed(time):
    return merge_ticks(0, 0, [tick(time)], "weir/score")


def test_verdicts_are_found_out_of_order_among_those_of_other_detectors():
    events = [request(f"r{number}", float(number)) for number in range(3)]
    verdicts = [
        verdict(events[2], "pii"),
        verdict(events[0], "toxicity"),
        verdict(events[1], "pii"),
        verdict(events[0], "pii"),
    ]
    assert [one.request_id for one in find(events, verdicts)] == ["r0", "r1", "r2"]


def test_the_first_of_two_verdicts_counts():
    event = request("r0", 1.0)
    (found,) = find([event], [verdict(event, "pii", version="1"), verdict(event, "pii", version="2")])
    assert found.version == "1"


def test_a_verdict_after_a_replay_of_the_dead_letter_is_not_looked_for():
    """The record that `weir dlq replay` writes back is a duplicate, so the error verdict stays the only one of its event."""
    event, between = request("r0", 1.0), [request(f"b{number}", 2.0) for number in range(3)]
    records = read([[event, *between, event]])
    assert [one.event is None for one in records] == [False, False, False, False, True]
    verdicts = [verdict(event, "pii", label="error"), *(verdict(one, "pii") for one in between), verdict(event, "pii")]
    assert [one.label for one in find([event, *between], verdicts)] == ["error", "ok", "ok", "ok"]


def test_an_event_before_the_tick_of_score_is_missing_and_a_later_event_is_pending():
    events = [request("r0", 1.0), request("r1", 2.0), request("r2", 9.0)]
    found = find(events, [passed(1.5), verdict(events[1], "pii"), passed(3.0)])
    assert found[0] is Absent.MISSING
    assert found[1].request_id == "r1"
    assert found[2] is Absent.PENDING


@pytest.mark.parametrize("ahead", [0.0, 300.0])
def test_the_fast_clock_of_another_gateway_does_not_expire_a_verdict(ahead):
    event, later = request("r1", 100.0), request("r2", 101.0)
    sources = [merge_ticks(0, 0, [tick(at), tick(at + ahead, "fast")], "weir/score") for at in (10.0, 102.0)]
    log = MemoryLog({NAMES.verdicts: [[sources[0], verdict(event, "pii"), sources[1]]]})
    log.records[NAMES.verdicts, 0] = [
        msgspec.structs.replace(record, offset=record.offset + 5, timestamp=timestamp)
        for record, timestamp in zip(log.records[NAMES.verdicts, 0], (10_000, 101_000, 102_000), strict=True)
    ]
    recorded = RecordedVerdicts(log.reader(), NAMES.verdicts, 1, "pii")
    found = [asyncio.run(recorded.find(0, one)) for one in (event, later)]
    assert found[0].request_id == "r1"
    assert found[1] is Absent.MISSING


def test_a_limit_that_closes_windows_early_changes_the_id_of_a_replay():
    version = Version(detector="drift", label="installed")
    plan = plan_of(ReplayRequest(since=0.0, until=9.0, detector=version, against=version))
    limited = msgspec.structs.replace(plan, watch=plan.watch.model_copy(update={"outstanding_events": 10}))
    assert plan.identity({}) == plan.identity({}) != limited.identity({})


LIMIT = Version(detector="pii", label="installed", version="1", threshold=0.6)


@pytest.mark.parametrize(
    ("recorded", "was_flagged", "scored", "flips"),
    [
        (0.6000001, True, 0.5999999, True),
        (0.5999999, False, 0.6000001, True),
        (0.6000001, True, 0.6000002, False),  # the decision does not change
        (0.7, True, 0.5999999, False),  # the difference is larger than rounding
        (0.5999999, True, 0.5999998, False),  # the verdict was recorded with another threshold
    ],
)
def test_a_flip_is_caused_by_rounding(recorded, was_flagged, scored, flips):
    blank = verdict_of(request("r0", 1.0), "pii", "1", None)
    old = msgspec.structs.replace(blank, score=recorded, flagged=was_flagged, label="ok")
    new = msgspec.structs.replace(blank, score=scored, flagged=scored >= 0.6, label="ok")
    assert (flip(LIMIT, old, new) is not None) == flips


def test_a_replay_covers_events_with_warm_up_and_compares_alerts_in_the_range():
    asked = ReplayRequest(detector=LIMIT, against=LIMIT, since=100.0, until=200.0, warm_up_seconds=50.0, tenant="acme*")
    assert [asked.covers("acme-1", time) for time in (49.9, 50.0, 199.9, 200.0)] == [False, True, True, False]
    assert not asked.covers("other", 100.0)
    assert [asked.compares(time) for time in (99.9, 100.0, 200.0)] == [False, True, False]
