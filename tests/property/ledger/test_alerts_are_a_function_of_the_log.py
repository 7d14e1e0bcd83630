"""However often the ledger looks, and however the topics interleave: the same gaps and silences under the same ids."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledger_log import Log, forwarded, gap, request, tick, verdict
from support.ledger_store import MemoryLedger

OWED = ("pii", "toxicity")
QUIET = {"lag_seconds": 1e9, "silent_events": 4, "silent_seconds": 10.0, "gap_resolve_seconds": 30.0}


@st.composite
def logs(draw):
    """Return what two partitions of inference and of verdicts hold: ticks of one source, requests, gaps, answers and errors."""
    log, now, number = Log(), 100.0, 0
    inference, verdicts = [[], []], [[], []]
    for _ in range(draw(st.integers(3, 10))):
        now += draw(st.sampled_from([1.0, 5.0, 20.0, 40.0]))
        partition = draw(st.sampled_from([0, 1]))
        if draw(st.booleans()):
            number += 1
            inference[partition].append(gap("s1", number, number, (f"g{number}",), time=now))
        for index in range(draw(st.integers(0, 3))):
            event = request(f"r{now}-{index}", now, owed=OWED)
            inference[partition].append(event)
            said = {name: draw(st.sampled_from(["ok", "error", "error", "error"])) for name in OWED}
            verdicts[partition] += [verdict(event, name, label=label) for name, label in said.items()]
        now += 0.5
        for lane in (0, 1):
            inference[lane].append(tick(now))
            verdicts[lane].append(forwarded({"s1": now}, partition=lane))
    topics = [log.inference(*inference[lane], partition=lane) for lane in (0, 1)]
    return topics + [log.verdicts(*verdicts[lane], partition=lane) for lane in (0, 1)]


def gaps_of(ledger):
    """Return ids and times, and the evidence of those that are over: one that fires is told again every 10 s of log time."""
    return [
        (alert.alert_id, alert.opened_at, alert.resolved_at)
        + ((alert.evidence, alert.statistic) if alert.state == "resolved" else ())
        for alert in ledger.alerts("gap")
    ]


def firing_silences(ledger):
    return {(alert.feature, alert.alert_id) for alert in ledger.alerts("silence") if alert.state == "firing"}


def run(batches, looks):
    with MemoryLedger(partitions=2, **QUIET) as ledger:
        for batch, look in zip(batches, looks, strict=True):
            ledger.apply(batch)
            if look:
                ledger.decide()
        while ledger.decide():
            pass
        return gaps_of(ledger), firing_silences(ledger)


@settings(max_examples=150, deadline=None)
@given(topics=logs(), data=st.data())
def test_looking_often_or_seldom_tells_the_same_alerts(topics, data):
    in_one = run([[record for topic in topics for record in topic]], [True])
    left, batches, looks = [list(topic) for topic in topics], [], []
    while any(left):
        lane = data.draw(st.sampled_from([index for index, rest in enumerate(left) if rest]))
        size = data.draw(st.integers(1, 6))
        batches.append([left[lane].pop(0) for _ in range(min(size, len(left[lane])))])
        looks.append(data.draw(st.booleans()))
    assert run(batches, looks)[0] == in_one[0], "gaps: ids, times and evidence"


@settings(max_examples=100, deadline=None)
@given(topics=logs(), data=st.data())
def test_what_is_silent_at_the_end_fires_under_the_same_id_whatever_the_batches(topics, data):
    """The order of reading within what was read before the ledger looks changes nothing; it looks when it has read all there is."""
    together = [record for topic in topics for record in topic]
    shuffled = sorted(
        together, key=lambda record: (data.draw(st.integers(0, 3)), record.topic, record.partition, record.offset)
    )
    order = {}
    for record in together:
        order.setdefault((record.topic, record.partition), []).append(record)
    kept = [order[record.topic, record.partition].pop(0) for record in shuffled]
    assert run([kept], [True])[1] == run([together], [True])[1]
