"""Ids of gap alerts and of alerts about inactive detectors do not depend on the order of topics or the times of decisions."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.events import tick
from support.ledger_log import Log, forwarded, gap, request, verdict
from support.ledger_store import MemoryLedger

DETECTORS = ("pii", "toxicity")
SETTINGS = {"lag_seconds": 1e9, "silent_events": 4, "silent_seconds": 10.0, "gap_resolve_seconds": 30.0}


@st.composite
def logs(draw):
    """Return two partitions of inference and two of verdicts: ticks of one source, requests, gaps, verdicts and errors."""
    log, now, number = Log(), 100.0, 0
    inference, verdicts = [[], []], [[], []]
    for _ in range(draw(st.integers(3, 10))):
        now += draw(st.sampled_from([1.0, 5.0, 20.0, 40.0]))
        partition = draw(st.sampled_from([0, 1]))
        if draw(st.booleans()):
            number += 1
            inference[partition].append(gap("s1", number, number, (f"g{number}",), time=now))
        for index in range(draw(st.integers(0, 3))):
            event = request(f"r{now}-{index}", now, owed=DETECTORS)
            inference[partition].append(event)
            labels = {name: draw(st.sampled_from(["ok", "error", "error", "error"])) for name in DETECTORS}
            verdicts[partition] += [verdict(event, name, label=label) for name, label in labels.items()]
        now += 0.5
        for index in (0, 1):
            inference[index].append(tick(now))
            verdicts[index].append(forwarded({"s1": now}, partition=index))
    topics = [log.inference(*inference[index], partition=index) for index in (0, 1)]
    return topics + [log.verdicts(*verdicts[index], partition=index) for index in (0, 1)]


def gap_alerts(ledger):
    """Return ids and times, and the evidence only of resolved alerts: a firing alert is updated at most every 10 s of event time."""
    return [
        (alert.alert_id, alert.opened_at, alert.resolved_at)
        + ((alert.evidence, alert.statistic) if alert.state == "resolved" else ())
        for alert in ledger.alerts("gap")
    ]


def inactive_detectors(ledger):
    return {(alert.feature, alert.alert_id) for alert in ledger.alerts("silence") if alert.state == "firing"}


def run(batches, decisions):
    with MemoryLedger(partitions=2, **SETTINGS) as ledger:
        for batch, decide in zip(batches, decisions, strict=True):
            ledger.apply(batch)
            if decide:
                ledger.decide()
        while ledger.decide():
            pass
        return gap_alerts(ledger), inactive_detectors(ledger)


@settings(max_examples=150)
@given(topics=logs(), data=st.data())
def test_gap_alerts_do_not_depend_on_when_the_ledger_decides(topics, data):
    in_one = run([[record for topic in topics for record in topic]], [True])
    left, batches, decisions = [list(topic) for topic in topics], [], []
    while any(left):
        index = data.draw(st.sampled_from([index for index, rest in enumerate(left) if rest]))
        size = data.draw(st.integers(1, 6))
        batches.append([left[index].pop(0) for _ in range(min(size, len(left[index])))])
        decisions.append(data.draw(st.booleans()))
    assert run(batches, decisions)[0] == in_one[0]


@settings(max_examples=100)
@given(topics=logs(), data=st.data())
def test_firing_alerts_about_detectors_do_not_depend_on_the_order_of_topics(topics, data):
    """Here, the ledger decides only after it has read the whole log."""
    together = [record for topic in topics for record in topic]
    shuffled = sorted(
        together, key=lambda record: (data.draw(st.integers(0, 3)), record.topic, record.partition, record.offset)
    )
    order = {}
    for record in together:
        order.setdefault((record.topic, record.partition), []).append(record)
    reordered = [order[record.topic, record.partition].pop(0) for record in shuffled]
    assert run([reordered], [True])[1] == run([together], [True])[1]
