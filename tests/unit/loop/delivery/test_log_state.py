"""The records that delivery reads: ends that count as failures, and independence of the order between partitions."""

import random

import msgspec
import pytest
from support.delivery_events import KEY, M1, PARTITIONS, TEXT, blessed, end, ticks, verdict

from stream.loop.delivery.log_state import DeliveryLog
from stream.loop.delivery.state import DeliveryState, decode
from stream.loop.settings import DeliverySettings
from stream.wire.ids import verdict_id

SETTINGS = DeliverySettings(shadow_share=0, steps=(50, 100), min_events=20)
SIGNAL_PARTITIONS = 3


def log_of(state):
    return DeliveryLog(
        state,
        lambda tenant: SETTINGS,
        partitions=PARTITIONS,
        signal_partitions=SIGNAL_PARTITIONS,
        silence_seconds=15.0,
    )


def started():
    log = log_of(DeliveryState())
    assert len(log.apply(blessed())) == 1
    return log


@pytest.fixture
def log():
    return started()


def applied(log, lanes, draw=None):
    """Apply the records of all partitions, each partition in order.

    With `draw`, the partitions are interleaved at random, and the log is often restored from its snapshot.
    """
    decisions, lanes = [], [list(lane) for lane in lanes]
    while lanes := [lane for lane in lanes if lane]:
        lane = lanes[0] if draw is None else draw.choice(lanes)
        decisions += log.apply(*lane.pop(0))
        if draw is not None and draw.random() < 0.1:
            before, log = log, log_of(decode(log.snapshot()))
            assert log.time(0.0) == before.time(0.0), "the watermark is restored"
    return decisions


def ticked(log, at):
    return applied(log, [[(tick, lane) for tick in ticks(at)] for lane in (None, *range(SIGNAL_PARTITIONS))])


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (end(1), (1, 0)),
        (end(1, features={"tool_calls": 1.0}), (1, 0)),
        (end(1, features={"completion_tokens": 1.0}), (1, 1)),
        (end(1, status="error", features={"error": 1.0}), (1, 1)),
        (end(1, status="aborted"), (1, 1)),
        (end(1, status="cancelled"), None),
        (end(1, side="input"), None),
        (end(1, "m_222222222222", status="error"), None),
    ],
)
def test_failed_requests_and_empty_answers_are_failures_and_cancelled_ones_do_not_count(log, record, expected):
    log.apply(record, 0)
    ticked(log, 10)
    tests = log.state.models[KEY].canary.tests
    block = tests["failure"].block[1] if tests else None
    assert (None if block is None else (block.events, block.flagged)) == expected


def test_verdict_and_end_of_a_request_without_a_conversation_id_are_of_one_conversation(log):
    log.apply(verdict(1, M1))
    log.apply(end(1), 0)
    ticked(log, 10)
    canary = log.state.models[KEY].canary
    assert set(canary.tests) == {"failure", "repetition"}
    assert list(canary.first_answers.values()) == [f"1/{M1}"]


@pytest.mark.parametrize(("side", "expected"), [("output", [0]), ("input", [])])
def test_an_error_on_an_answer_starts_the_test_of_its_detector_without_an_event(log, side, expected):
    log.apply(verdict(1, M1, label="error", side=side))
    ticked(log, 10)
    tests = log.state.models[KEY].canary.tests
    assert [test.block[1].events for test in tests.values()] == expected


def test_evidence_about_failures_alone_promotes_no_version(log):
    for number in range(300):
        for version in (M1, "b1"):
            log.apply(end(number, version), number % SIGNAL_PARTITIONS)
    assert not ticked(log, 1_000)


def test_neither_the_order_between_partitions_nor_restarts_change_the_decisions():
    draw = random.Random(3)
    lanes = {None: [], **{number: [] for number in range(SIGNAL_PARTITIONS)}}
    for number in range(1, 200):
        for version in (M1, "b1"):
            lanes[None].append((verdict(number, version), None))
            failed = version == M1 and draw.random() < 0.3
            one = end(number, version, status="error" if failed else "complete", features={} if failed else TEXT)
            lanes[number % SIGNAL_PARTITIONS].append((one, number % SIGNAL_PARTITIONS))
        if number % 7 == 0:
            for name, lane in lanes.items():
                lane.extend((tick, name) for tick in ticks(number))
    expected = applied(started(), lanes.values())
    assert [one.progress.state for one in expected] == ["rolled_back"]
    assert expected[0].route.reason.startswith("failure: ")
    for seed in range(5):
        assert applied(started(), lanes.values(), random.Random(seed)) == expected


def test_an_answer_with_verdicts_of_two_versions_of_a_detector_counts_once(log):
    for version in ("1", "2"):
        event = verdict(1, M1)
        data = msgspec.structs.replace(event.data, version=version)
        log.apply(msgspec.structs.replace(event, id=verdict_id(data.event_id, data.detector, version), data=data))
    ticked(log, 10)
    assert log.state.models[KEY].canary.counts == {"repetition": 1}
