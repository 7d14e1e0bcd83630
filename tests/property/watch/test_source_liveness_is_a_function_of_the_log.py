"""F13: the findings of an inactive source are a function of the log. The order of partitions and crashes do not change them."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.signal_log import interleaved
from support.source_liveness_log import found, oracle, rules, tick_lanes, told
from support.watch_chain import Chain, plain

from stream.stages.watch.source_liveness import SourceLiveness
from stream.stages.watch.state import decode_liveness

SECONDS = 900
SEEDS = st.integers(0, 2**32)


def make(seed, partitions):
    """Return lanes of four sources: one is always active, three have inactive periods, and one of these closes."""
    random_ = random.Random(seed)

    def gaps():
        starts = sorted(random_.sample(range(5, SECONDS, 7), random_.randint(0, 3)))
        return [(start, start + random_.randint(20, 200)) for start in starts]

    odd = {"b": gaps(), "c": gaps(), "d": gaps()}
    return tick_lanes(SECONDS, {"a": [], **odd}, {"d": random_.randint(60, SECONDS)}, partitions)


def silent(events):
    return {(source, end) for source, end, alarm in told(events) if alarm}


def by_id(events):
    return {event.id: event for event in events}


@settings(max_examples=40)
@given(seed=SEEDS, partitions=st.integers(1, 4))
def test_any_order_of_the_partitions_gives_the_findings_of_a_simple_pass(seed, partitions):
    lanes = make(seed, partitions)
    orders = [interleaved(lanes, random.Random(seed + order)) for order in range(2)]
    first, second = (found(SourceLiveness(rules(partitions)), log) for log in orders)
    assert silent(first) == oracle(lanes[0])
    assert by_id(first) == by_id(second)
    assert len(by_id(first)) == len(first)


@settings(max_examples=40)
@given(seed=SEEDS, crashes=st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_crashes_at_any_point_change_no_finding(seed, crashes):
    """The table outlives a crash. The committed offset can be older than the table, because signals of open buckets are not committed."""
    random_, log = random.Random(seed), interleaved(make(seed, 3), random.Random(seed))
    table, published, position = None, [], 0
    for crash in [*sorted(crashes), 1.0]:
        watch = SourceLiveness(rules(3), decode_liveness(table) if table is not None else None)
        found(watch, log[watch.offset + 1 : position], watch.offset + 1)
        stop, begun = max(int(crash * len(log)), position), position
        for offset in range(begun, stop):
            published += watch.apply(log[offset].data, offset)
            if watch.dirty and crash < 1 and offset + 10 > stop:
                break  # killed between publishing and writing the state
            if watch.dirty:
                table = watch.snapshot()
            position = offset + 1
        position = max(0, position - random_.randint(0, 400)) if table is not None else 0
    assert by_id(published) == by_id(found(SourceLiveness(rules(3)), log))


@settings(max_examples=10)
@given(seed=SEEDS)
def test_every_inactive_source_has_a_separate_alert_and_no_retraining_event(seed):
    lanes = make(seed, 2)
    chains = [Chain({}, lambda _: {}).run(interleaved(lanes, random.Random(seed + order))) for order in range(2)]
    alerts = [event.data for event in chains[0].alerts]
    assert {alert.feature for alert in alerts} == {source for source, _ in oracle(lanes[0])}
    assert {(alert.tenant, alert.detector, alert.model, alert.side) for alert in alerts} <= {
        ("_weir", "silence", "", "")
    }
    assert {(alert.alert_id, alert.state) for alert in alerts} == {
        (event.data.alert_id, event.data.state) for event in chains[1].alerts
    }
    replayed = chains[0].replayed(lambda _: {})
    assert plain(replayed.alerts) == plain(chains[0].alerts)
    assert chains[0].decisions == []
