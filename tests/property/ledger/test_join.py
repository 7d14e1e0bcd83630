"""Coverage does not depend on the order of topics, on duplicates or on batches."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledger_log import Entry, aborted, end, forwarded, request, verdict

from stream.ledger.coverage import coverage_of, missing_verdicts
from stream.ledger.shard import Shard
from stream.wire import encode

LABELS = st.sampled_from(["ok", "flagged", "error"])


@st.composite
def histories(draw):
    """Return inference events, and the verdicts and ticks of one partition, in order."""
    events = []
    for index in range(draw(st.integers(1, 6))):
        source = draw(st.sampled_from(["s1", "s2"]))
        events.append(request(f"r{index}", 10.0 + index, source=source))
        if draw(st.booleans()):
            events.append(end(f"r{index}", 10.5 + index, source=source))
            if draw(st.booleans()):  # its first source died; the aborted end is before or after the complete end
                events.insert(draw(st.integers(0, len(events))), aborted(f"r{index}", 10.0 + index))
    answers = []
    for event in events:
        for detector in (*event.data.owed, "refusal"):
            versions = draw(st.lists(st.sampled_from(["1", "2"]), max_size=2, unique=True))
            answers += [verdict(event, detector, version=version, label=draw(LABELS)) for version in versions]
    answers = draw(st.permutations(answers))
    ticks = [forwarded({name: draw(st.floats(9.0, 18.0))}) for name in ("s1", "s2")]
    closing = [forwarded({}, closed=(name,)) for name in ("s1", "s2") if draw(st.booleans())]
    return events, draw(st.permutations([*answers, *ticks, *closing]))


def coverage_after(batches):
    shard = Shard(":memory:")
    try:
        for batch in batches:
            shard.apply(batch)
        statuses = shard.database.execute("SELECT event_id, status FROM events ORDER BY 1").fetchall()
        return coverage_of([shard.database]), missing_verdicts([shard.database]), statuses
    finally:
        shard.close()


def entries(topic, events):
    records = [encode(event) for event in events]
    return [Entry(topic, 0, offset, record.value, record.headers) for offset, record in enumerate(records)]


def with_duplicates(draw, events):
    """Duplicate some events at a later position, as a restarted shipper or worker does."""
    copies = list(events)
    for index in draw(st.lists(st.integers(0, len(events) - 1), max_size=5)):
        first = copies.index(events[index])
        copies.insert(draw(st.integers(first + 1, len(copies))), events[index])
    return copies


def interleaved(draw, left, right):
    merged, left, right = [], list(left), list(right)
    while left or right:
        from_left = bool(left) and (not right or draw(st.booleans()))
        merged.append((left if from_left else right).pop(0))
    return merged


def oracle(events, answers):
    """Return the expected counts, computed from the sets of events and verdicts."""
    passed, closed_sources = {}, set()
    labels = {}
    for answer in answers:
        if hasattr(answer.data, "detector"):
            labels.setdefault((answer.data.event_id, answer.data.detector), set()).add(answer.data.label)
        else:
            closed_sources |= set(answer.data.closed)
            for source, time in answer.data.sources.items():
                passed[source] = max(passed.get(source, 0.0), time)
    counts = dict.fromkeys(("owed", "settled", "missing", "errors", "pending"), 0)
    for event in events:
        for detector in event.data.owed:
            counts["owed"] += 1
            found = labels.get((event.id, detector))
            if found:
                counts["settled"] += 1
                counts["errors"] += found == {"error"}
            elif event.source in closed_sources or event.time < passed.get(event.source, -1.0):
                counts["missing"] += 1
            else:
                counts["pending"] += 1
    return counts


@settings(max_examples=150)
@given(history=histories(), data=st.data())
def test_order_duplicates_and_batches_do_not_change_coverage(history, data):
    events, answers = history
    plain_coverage, plain_missing, plain_statuses = coverage_after(
        [entries("weir.inference", events) + entries("weir.verdicts", answers)]
    )
    assert {name: getattr(plain_coverage.total, name) for name in oracle(events, answers)} == oracle(events, answers)
    expected = {event.id: getattr(event.data, "status", None) for event in events if event.source != "s0"}
    assert dict(plain_statuses) == expected, "a complete end replaces an aborted one"
    assert plain_coverage.ends == sum(name.endswith("/end") for name in expected)

    left = entries("weir.inference", with_duplicates(data.draw, events))
    right = entries("weir.verdicts", with_duplicates(data.draw, answers))
    merged = interleaved(data.draw, left, right)
    size = data.draw(st.integers(1, 7))
    batches = [merged[start : start + size] for start in range(0, len(merged), size)]
    again = data.draw(st.integers(0, len(batches) - 1))
    batches.insert(data.draw(st.integers(again, len(batches))), batches[again])
    coverage, missing, statuses = coverage_after(batches)
    assert coverage == plain_coverage
    assert statuses == plain_statuses
    assert missing == plain_missing


@settings(max_examples=100)
@given(history=histories(), data=st.data())
def test_a_rebuild_without_the_oldest_verdicts_expects_only_those_that_the_log_contains(history, data):
    """Kafka deletes verdicts before their events if they fill their topic first."""
    events, answers = history
    left, right = entries("weir.inference", events), entries("weir.verdicts", answers)
    first = data.draw(st.integers(1, len(right)))
    retained = answers[first:]
    merged = interleaved(data.draw, left, right[first:])
    size = data.draw(st.integers(1, 7))
    coverage, missing, _ = coverage_after([merged[start : start + size] for start in range(0, len(merged), size)])
    known = oracle(events, retained)
    if any(answer.data.sources for answer in retained if hasattr(answer.data, "sources")):
        assert (coverage.total.owed, coverage.total.settled) == (known["settled"], known["settled"])
        assert (coverage.total.errors, missing.pairs, coverage.total.pending) == (known["errors"], 0, 0)
