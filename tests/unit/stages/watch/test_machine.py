import random

import msgspec
from support.signal_log import (
    MODEL,
    LevelDetector,
    interleaved,
    lanes,
    level_detectors,
    rules,
    score_tick,
    signal_event,
    watched,
)

from stream.replay.watch_chain import WatchChain
from stream.stages.shared.state_codec import encode
from stream.stages.watch.buckets import Offer
from stream.stages.watch.machine import PartitionWatch
from stream.stages.watch.records import EVIDENCE, RESET
from stream.stages.watch.state import SourcesState, decode_sources, decode_stream
from stream.stages.watch.watermark import SourceLane
from stream.wire import stream_key

KEY, GONE = stream_key("acme", MODEL, "input"), stream_key("gone", MODEL, "input")


def recorded(seconds=60, partitions=2, seed=3, shift_at=30):
    random_ = random.Random(seed)
    events = [
        (
            "s1",
            random_.randrange(partitions),
            signal_event(
                f"r{number}",
                1000 + number * 0.37,
                features={"x": random_.gauss(5 if number * 0.37 > shift_at else 0, 0.3)},
                principal=f"k{number % 3}",
            ),
        )
        for number in range(int(seconds / 0.37))
    ]
    return interleaved(lanes(events, seconds, 1000, partitions), random_)


def findings(log, machine):
    return [event for event in watched(machine, log) if event.source == "weir/watch" and event.id != "tick"]


def test_a_shift_has_one_finding_per_bucket_with_the_ids_of_its_evidence():
    found = findings(recorded(), PartitionWatch(rules(2)))
    alarms = [event.data for event in found if event.data.alarm]
    assert [record.bucket for record in alarms] == [206, 207, 208, 209, 210, 211]
    first = alarms[0]
    assert (first.tenant, first.model, first.side, first.time) == ("acme", MODEL, "input", 1035.0)
    assert first.version == LevelDetector.version
    assert first.events == 13
    assert sum(first.principals.values()) == 13
    assert len(first.evidence) == 13
    assert len(first.traces) == 13
    event = next(event for event in found if event.data.alarm)
    assert event.traceparent == first.traces[0]
    assert event.correlationid == first.evidence[0]
    assert event.causationid == f"{first.evidence[0]}/request/signal"
    assert event.partitionkey == KEY


def test_evidence_is_bounded_and_names_each_request_once():
    machine = PartitionWatch(rules(1))
    for number in range(100):
        for side in ("input", "output"):
            machine.offer(signal_event(f"r{number}", 1.0 + number / 100, side=side, features={"x": 0.0}), None)
    machine.tick(score_tick(0, {"s": 5.0}).data)
    list(machine.closed())
    for number in range(100):
        machine.offer(signal_event(f"q{number}", 5.0 + number / 100, features={"x": float(number)}), None)
    machine.tick(score_tick(0, {"s": 10.0}).data)
    (record,) = [event.data for closed in machine.closed() for event in closed.findings if event.data.events]
    assert len(record.evidence) == EVIDENCE
    assert record.evidence[:2] == ("q99", "q0"), "the events furthest from the median are first"
    assert record.events == 100


def test_a_closed_bucket_has_one_state_and_all_tokens():
    machine = PartitionWatch(rules(1))
    tokens = [object(), object(), object()]
    for number, token in enumerate(tokens):
        machine.offer(signal_event(f"r{number % 2}", 1.0 + number % 2, features={"x": 0.0}), token)
    assert machine.open.tokens == 3
    machine.tick(score_tick(0, {"s": 6.0}).data)
    (closed,) = machine.closed()
    assert set(closed.tokens) == set(tokens)
    state = decode_stream(closed.state)
    assert (state.seconds, state.last_closed, state.last_event) == (5.0, 0, 0)
    assert machine.open.tokens == 0


def tables(machine, log):
    """Run `log` and return the values of the table."""
    table = {}
    for event in log:
        if hasattr(event.data, "sources"):
            if machine.tick(event.data):
                table |= {closed.key: closed.state for closed in machine.closed()}
        else:
            machine.offer(event, None)
    return table


def rebuilt(machine, log):
    replayed = machine.replayer()
    for event in log:
        replayed.replay(event)
    states = dict(machine.adopt(replayed))
    assert machine.lost() == {}
    return states


def test_an_unreadable_state_is_rebuilt_from_the_log_and_a_finding_states_the_reset():
    log = recorded(seconds=60)
    cut = 150
    machine = PartitionWatch(rules(2))
    table = tables(machine, log[:cut])
    expected = {event.id: event.data for event in watched(machine, log[cut:]) if event.id != "tick"}
    for broken in (b"garbage", table[KEY][:-9]):
        again = PartitionWatch(rules(2))
        again.load(KEY, broken)
        assert again.lost() == {KEY: {"drift"}}
        assert rebuilt(again, log[:cut]) == {}, "a state with open buckets is not written"
        found = [event for event in watched(again, log[cut:]) if event.id != "tick"]
        assert [event.data.feature for event in found].count(RESET) == 1
        assert not found[0].data.alarm
        assert {event.id: event.data for event in found if event.data.feature != RESET} == expected


def test_the_rebuilt_state_of_an_idle_stream_is_written_and_a_finding_states_the_reset_after_a_restart():
    log = [*recorded(seconds=60), *ticks_at(1100.0)]
    table = tables(PartitionWatch(rules(2)), log)
    machine = PartitionWatch(rules(2))
    machine.load(KEY, b"garbage")
    machine.load(GONE, b"garbage")
    states = rebuilt(machine, log)
    assert states.keys() == {KEY, GONE}
    assert states[GONE] is None
    assert decode_stream(states[KEY]).snapshots == decode_stream(table[KEY]).snapshots
    again = PartitionWatch(rules(2), stored=states.get)
    again.load(KEY, states[KEY])
    assert again.lost() == {}
    again.offer(signal_event("new", 1101.0, features={"x": 0.0}), None)
    found = [event.data.feature for event in watched(again, ticks_at(1105.0)) if event.id != "tick"]
    assert found == [RESET, "x"]
    assert not decode_stream(tables(again, ticks_at(1110.0))[KEY]).announce


def ticks_at(time):
    return [score_tick(partition, {"s1": time}) for partition in range(2)]


def test_only_a_detector_with_another_configuration_is_rebuilt(caplog):
    log = recorded(seconds=60)
    table = tables(PartitionWatch(rules(2)), log)
    other = rules(2, {"*": {"bucket_seconds": 5, "drift": {"limit": 3.0}}})
    again = PartitionWatch(other)
    again.load(KEY, table[KEY])
    assert again.lost() == {KEY: {"drift"}}
    assert caplog.messages == [
        "detector drift of a stream: a snapshot of drift with another configuration; its state is rebuilt from the retained signals"
    ]
    rebuilt(again, log)
    again.offer(signal_event("late", 1000.0, features={"x": 0.0}), None)
    expected = decode_stream(table[KEY])
    again.offer(signal_event("new", 1061.0, features={"x": 0.0}), None)
    again.tick(score_tick(0, {"s1": 1065.0}).data)
    again.tick(score_tick(1, {"s1": 1065.0}).data)
    (closed,) = again.closed()
    found = {event.data.feature: event.data for event in closed.findings}
    assert found[RESET].detector == "drift"
    assert found["x"].limit == 3.0
    assert found["x"].details["events"] == len([event for event in log if hasattr(event.data, "features")]) + 1
    assert decode_stream(closed.state).last_closed == expected.last_closed + 1


class AddedDetector(LevelDetector):
    name = "added"


def test_an_added_detector_starts_fresh_and_the_others_continue():
    log = recorded(seconds=60)
    cut = 150
    machine = PartitionWatch(rules(2))
    table = tables(machine, log[:cut])
    watermark = machine.watermark
    stored = SourcesState(offset=cut - 1, lanes=watermark.lanes, value=watermark.value)
    both = rules(2, detectors=lambda settings: {**level_detectors(settings), "added": AddedDetector()})
    again = PartitionWatch(both, stored=table.get)
    again.load(KEY, table[KEY])
    assert again.lost() == {}
    assert again.resume(decode_sources(encode(stored)))
    assert again.watermark.value == watermark.value is not None
    for event in log[:cut]:  # signals of open buckets are not acknowledged, so they are read again
        if not hasattr(event.data, "sources"):
            again.offer(event, None)
    expected = {event.id: event.data for event in findings(log[cut:], machine)}
    found = findings(log[cut:], again)
    assert {event.id: event.data for event in found if event.data.detector == "drift"} == expected
    assert any(event.data.detector == "added" for event in found)
    assert RESET not in {event.data.feature for event in found}


class FailingDetector(LevelDetector):
    def update_many(self, observations):
        if any(observation.features["x"] > 100 for observation in observations):
            raise ZeroDivisionError
        return super().update_many(observations)


def test_a_detector_that_fails_is_reset_and_a_finding_states_the_reset(caplog):
    machine = PartitionWatch(rules(1, detectors=lambda _: {"drift": FailingDetector()}))
    found = []
    for bucket, value in enumerate([0.0, 0.0, 1000.0, 0.0, 0.0]):
        machine.offer(signal_event(f"r{bucket}", bucket * 5.0, features={"x": value}), None)
        machine.tick(score_tick(0, {"s": bucket * 5.0 + 5}).data)
        found += [event.data for closed in machine.closed() for event in closed.findings]
    assert [(record.bucket, record.feature) for record in found] == [(1, "x"), (2, RESET), (4, "x")]
    assert "failed on bucket 2" in caplog.text


def test_the_oldest_bucket_can_be_closed_early_to_bound_memory():
    machine = PartitionWatch(rules(1))
    for number in range(4):
        machine.offer(signal_event(f"r{number}", number * 5.0, features={"x": 0.0}), number)
    closed = machine.relieve()
    assert closed is not None
    assert closed.tokens == [0]
    assert machine.offer(signal_event("r9", 1.0, features={"x": 0.0}), 9) is Offer.LATE
    assert machine.open.buckets == 3


def test_the_events_of_a_fast_clock_are_discarded_before_a_present_bucket_is_closed_early():
    machine, chain, seconds = PartitionWatch(rules(1)), WatchChain(rules(1), outstanding=300), 60
    log, discarded, found, replayed = [], [], [], []
    for second in range(seconds):
        now = 1000.0 + second
        fast = {"fast": now + 3601} if second < 40 else {"fast-2": now + 1}
        ahead = 3600 if second < 40 else 0
        for number in range(10):
            log.append(signal_event(f"fast{second}-{number}", now + number / 10 + ahead, features={"x": 0.0}))
            log.append(signal_event(f"right{second}-{number}", now + number / 10, features={"x": 0.0}))
        log.append(score_tick(0, {"right": now + 1, **fast}, () if second < 40 else ("fast",)))
    for event in log:
        replayed += [one for one in chain.feed(event) if one.id.startswith("fd_")]
        if event.id == "tick":
            machine.tick(event.data)
            found += [finding for closed in machine.closed() for finding in closed.findings]
            continue
        assert machine.offer(event, event.id) is Offer.HELD
        while machine.open.tokens > 300:
            closed = machine.relieve()
            assert (closed.findings, closed.state) == ([], b"")
            discarded += closed.tokens
    assert {token[:4] for token in discarded} == {"fast"}
    assert [event.data.events for event in found] == [50] * 7 + [100] * 4
    assert [event.id for event in replayed] == [event.id for event in found]


def test_a_partition_that_is_stuck_does_not_make_the_events_of_the_others_far_ahead():
    machine = PartitionWatch(rules(2))
    machine.tick(score_tick(1, {"s": 1.0}).data)
    for number in range(30):
        machine.offer(signal_event(f"r{number}", number * 5.0, features={"x": 0.0}), number)
        machine.tick(score_tick(0, {"s": number * 5.0 + 5}).data)
    assert machine.relieve().tokens == [0]


def test_an_event_that_was_late_before_a_restart_is_late_after_the_restart():
    """The event is of a new source behind the watermark.

    If it were kept, it would close a bucket that a run from offset 0 never closes.
    """
    late = signal_event("late", 4.0)
    before = PartitionWatch(rules(2))
    for partition in range(2):
        before.tick(score_tick(partition, {"a": 22.0}).data, partition)
    assert before.offer(late, None) is Offer.LATE
    watermark = before.watermark
    stored = encode(SourcesState(offset=before.offset, lanes=watermark.lanes, value=watermark.value))
    after = PartitionWatch(rules(2))
    assert after.resume(decode_sources(stored))
    assert after.offer(late, None) is Offer.LATE
    assert not after.tick(score_tick(1, {"a": 30.0}).data, 1), "a tick that is read again is ignored"
    assert not after.tick(score_tick(0, {"a": 30.0}).data, 2)
    assert after.tick(score_tick(1, {"a": 30.0}).data, 3)
    assert after.watermark.value == 30.0


def test_a_stage_with_another_number_of_partitions_begins_without_a_watermark():
    machine = PartitionWatch(rules(2))
    assert not machine.resume(SourcesState(lanes=[SourceLane(low=9.0)], value=9.0))
    assert machine.watermark.value is None


def test_signals_of_part_groups_are_separate_streams():
    machine = PartitionWatch(rules(1))
    for bucket, level in ((0, 0.0), (1, 9.0)):
        for part in ("", "prompt", "tool_result"):
            value = level if part == "tool_result" else 0.0
            machine.offer(signal_event("r1", bucket * 5.0, part=part, features={"x": value}), None)
        machine.tick(score_tick(0, {"s": bucket * 5.0 + 5.0}).data)
        closed = {one.key: one for one in machine.closed()}
    found = {key: [event.data for event in one.findings] for key, one in closed.items()}
    assert {(record.side, record.part, record.alarm) for records in found.values() for record in records} == {
        ("input", "", False),
        ("input", "prompt", False),
        ("input", "tool_result", True),
    }
    again = PartitionWatch(rules(1))
    for key, one in closed.items():
        again.load(key, one.state)
    assert again.lost() == {}


def test_a_canary_has_its_own_stream_and_the_base_version_keeps_its_key():
    machine = PartitionWatch(rules(2))
    for number, version in enumerate(("b179c9523d0e", "m_0123456789ab", "")):
        event = signal_event(f"r{number}", 1000 + number)
        signal = msgspec.structs.replace(event.data, model_version=version)
        machine.offer(msgspec.structs.replace(event, data=signal), None)
    trained = stream_key("acme", MODEL, "input", "", "m_0123456789ab")
    assert sorted(machine._streams) == sorted([KEY, trained])
    for tick in (score_tick(0, {"s": 1100.0}), score_tick(1, {"s": 1100.0})):
        machine.tick(tick.data)
    closed = {stream.key: stream.findings for stream in machine.closed()}
    assert {finding.data.model_version for finding in closed[trained]} == {"m_0123456789ab"}
    assert {finding.data.model_version for finding in closed[KEY]} == {""}
