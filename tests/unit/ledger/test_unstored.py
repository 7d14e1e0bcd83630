"""Records that the ledger cannot store: each is skipped and counted, and everything around it is kept."""

import json
import random
import sqlite3

import pytest
from support.ledger_log import Log, end, gap, request, tick, verdict

from stream.ledger.coverage import coverage_of
from stream.ledger.decisions import Decisions
from stream.ledger.queries.request_story import request_events
from stream.ledger.record_batches import next_offsets, read_new, start_progress, store, write_progress
from stream.ledger.schema import transaction
from stream.ledger.shard import Shard
from stream.wire import AlertRecord, Event, encode

HUGE = 2**63


class Counted:
    def __init__(self):
        self.records = 0

    def __call__(self):
        self.records += 1


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def shard(counted):
    shard = Shard(":memory:", unstored=counted)
    yield shard
    shard.close()


def refuse(database, table, column, value):
    """Have SQLite itself refuse rows of `table` in which `column` is `value`."""
    raised = "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    database.execute(f"CREATE TRIGGER refused BEFORE INSERT ON {table} WHEN new.{column} = '{value}' {raised}")


def with_numbers(log, topic, event, **numbers):
    """Return `event` as a record of `topic` with other numbers in its JSON, as another writer may write it."""
    record = encode(event)
    return log.raw(topic, json.dumps(json.loads(record.value) | numbers).encode(), record.headers)


@pytest.mark.parametrize(
    ("event", "numbers"),
    [
        (end("bad", 11.0), {"usage": {"prompt_tokens": HUGE, "completion_tokens": 1}}),
        (end("bad", 11.0), {"usage": {"prompt_tokens": 1, "completion_tokens": 10**400}}),
        (end("bad", 11.0), {"latency_seconds": 1e308}),
        (end("bad", 11.0), {"number": HUGE}),
        (request("bad", 11.0), {"parameters": {"seed": HUGE}}),
        (gap("bad", 1, 2), {"count": HUGE}),
        (gap("bad", 1, 2), {"first_number": -HUGE - 1}),
        (tick(11.0), {"sources": {"s1": 1e300}}),
    ],
    ids=["tokens", "more tokens", "latency", "number", "seed", "gap", "numbers of a gap", "tick"],
)
def test_a_number_that_is_out_of_range_on_the_log_costs_its_own_record_alone(shard, log, event, numbers):
    before, after = log.inference(request("before", 10.0)), log.inference
    bad = with_numbers(log, "weir.inference", event, **numbers)
    records = [*before, *bad, *after(request("after", 12.0), end("after", 13.0), tick(14.0))]
    assert shard.apply(records) == 4
    coverage = coverage_of([shard.database])
    assert (coverage.requests, coverage.ends, coverage.gaps) == (2, 1, 0)
    assert coverage.skipped == {"weir.inference": 1}
    assert next_offsets(shard.database) == {("weir.inference", 0): 5}
    assert shard.expire() == 0.0
    assert shard.apply(records) == 0, "the offset was committed: what is read again is passed over"


def test_gaps_with_the_largest_counts_are_added_up(shard, log):
    largest = {"count": 2**53 - 1}
    for number in range(1100):
        shard.apply(with_numbers(log, "weir.inference", gap(f"s{number}", 1, 2), **largest))
    assert coverage_of([shard.database]).gaps >= 2**63 - 2**20


def test_what_sqlite_refuses_is_skipped_and_counted_and_everything_around_it_is_kept(shard, log, counted, caplog):
    refuse(shard.database, "events", "tenant", "canary-tenant")
    names = [f"r{number}" for number in range(100)]
    bad = set(random.Random(7).sample(names, 9))
    events = [
        request(name, 10.0 + n, tenant="canary-tenant" if name in bad else "acme") for n, name in enumerate(names)
    ]
    records = [*log.inference(*events), *log.verdicts(*(verdict(event, "pii") for event in events))]
    assert shard.apply(records) == 200 - 9
    coverage = coverage_of([shard.database])
    assert (coverage.requests, coverage.total.owed, coverage.total.settled) == (91, 182, 91)
    assert coverage.skipped == {"weir.inference": 9}
    assert next_offsets(shard.database) == {("weir.inference", 0): 100, ("weir.verdicts", 0): 100}
    assert {name for name in names if request_events(shard.database, name)} == set(names) - bad
    assert counted.records == 9
    assert caplog.text.count("cannot be stored (IntegrityError); it is skipped") == 9
    assert "canary" not in caplog.text


def test_the_counts_are_those_of_a_ledger_that_took_each_record_alone(shard, log, counted):
    alone = Shard(":memory:")
    for one in (shard, alone):
        refuse(one.database, "unsettled", "detector", "toxicity")
    events = [request(f"r{n}", 3600.0 * n, owed=("pii", "toxicity") if n % 3 else ("pii",)) for n in range(1, 30)]
    records = [*log.inference(*events, tick(90.0)), *log.verdicts(*(verdict(event, "pii") for event in events))]
    assert shard.apply(records) == sum(alone.apply([record]) for record in records)
    assert list(shard.database.iterdump()) == list(alone.database.iterdump())
    assert counted.records == 20
    alone.close()


def test_a_record_that_is_skipped_moves_no_time_on(log, counted):
    shard = Shard(":memory:", retention_seconds=3600.0, unstored=counted)
    refuse(shard.database, "sources", "source", "bad")
    shard.apply(log.inference(request("r1", 10.0), tick(1_000_000.0, source="bad"), tick(20.0)))
    assert counted.records == 1
    assert shard.expire() == 0.0
    assert coverage_of([shard.database]).requests == 1
    shard.close()


def test_an_alert_that_cannot_be_stored_stops_no_other(log, counted):
    decisions = Decisions(":memory:", unstored=counted)
    refuse(decisions.database, "alerts", "detector", "bad")

    def alert(name, detector):
        where = {"detector": detector, "severity": "warning", "tenant": "acme", "model": "m", "side": "input"}
        data = AlertRecord(alert_id=name, state="firing", opened_at=1.0, at=1.0, **where)
        return Event(id=name, source="weir/watch", type=data.event_type, time=1.0, data=data)

    records = log.records("weir.alerts", alert("a", "pii"), alert("b", "bad"), alert("c", "pii"))
    huge = with_numbers(log, "weir.alerts", alert("d", "pii"), revision=HUGE)
    assert decisions.apply([*records, *huge, *log.records("weir.alerts", alert("e", "pii"))]) == 3
    assert decisions.database.execute("SELECT alert_id FROM alerts ORDER BY 1").fetchall() == [("a",), ("c",), ("e",)]
    skipped = decisions.database.execute("SELECT reason, records FROM skipped ORDER BY 1").fetchall()
    assert skipped == [("schema", 1), ("storage", 1)]
    assert next_offsets(decisions.database) == {("weir.alerts", 0): 5}
    assert counted.records == 1
    decisions.close()


@pytest.mark.parametrize("value", [HUGE, float("nan"), "\ud800", {}, 10**400])
def test_every_value_that_sqlite_cannot_take_costs_its_own_record_alone(shard, log, counted, value):
    """What the wire's ranges refuse, and what they would let through if a field were forgotten."""
    shard.database.execute("CREATE TABLE numbers (number NOT NULL)")
    records = log.inference(*(request(f"r{number}", 10.0) for number in range(7)))

    def apply(batch):
        taken = 0
        with transaction(shard.database):
            progress = start_progress(shard.database)
            for record, _event in read_new(batch, progress):
                shard.database.execute(
                    "INSERT INTO numbers VALUES (?)", (value if record.offset in {2, 5} else record.offset,)
                )
                taken += 1
            write_progress(shard.database, progress)
        return taken

    assert store(shard.database, records, apply, counted) == 5
    assert shard.database.execute("SELECT number FROM numbers").fetchall() == [(0,), (1,), (3,), (4,), (6,)]
    assert next_offsets(shard.database) == {("weir.inference", 0): 7}
    assert coverage_of([shard.database]).skipped == {"weir.inference": 2}
    assert counted.records == 2


def test_a_full_disk_skips_nothing(tmp_path, log, counted):
    shard = Shard(tmp_path / "shard.sqlite", unstored=counted)
    (pages,) = shard.database.execute("PRAGMA page_count").fetchone()
    shard.database.execute(f"PRAGMA max_page_count = {pages}").close()
    records = log.inference(*(request(f"r{number}", 10.0) for number in range(500)))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        shard.apply(records)
    assert (next_offsets(shard.database), counted.records) == ({}, 0)
    shard.database.execute("PRAGMA max_page_count = 100000").close()
    assert shard.apply(records) == 500
    shard.close()
