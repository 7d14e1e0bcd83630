"""Records that the ledger cannot store: they are skipped and counted, and all other records are kept."""

import asyncio
import json
import random
import resource
import sqlite3
from unittest.mock import Mock

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support import alert_records
from support.events import event_of, tick
from support.ledger_log import end, gap, request, verdict

from stream.ledger.coverage import coverage_of
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Decisions
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.request_story import request_events
from stream.ledger.service import run_ledger
from stream.ledger.shard import Shard
from stream.settings import KafkaSettings, LedgerSettings
from stream.wire import RequestRecord, encode

HUGE = 2**63


@pytest.fixture
def unstored():
    """A mock that counts the skipped records."""
    return Mock()


@pytest.fixture
def shard(unstored):
    shard = Shard(":memory:", unstored=unstored)
    yield shard
    shard.close()


def reject(database, table, column, value):
    """Make SQLite reject rows of `table` with `value` in `column`."""
    raised = "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    database.execute(f"CREATE TRIGGER rejected BEFORE INSERT ON {table} WHEN new.{column} = '{value}' {raised}")


def with_numbers(log, topic, event, **numbers):
    """Return `event` as a record of `topic` with other numbers in its JSON, as another producer could write them."""
    record = encode(event)
    return log.raw(topic, json.dumps(json.loads(record.value) | numbers).encode(), record.headers)


def test_a_number_out_of_range_skips_its_record_only(shard, log):
    before = log.inference(request("before", 10.0))
    bad = with_numbers(log, "weir.inference", end("bad", 11.0), latency_seconds=1e308)
    bad += with_numbers(log, "weir.inference", tick(11.0), sources={"s1": 1e300})
    records = [*before, *bad, *log.inference(request("after", 12.0), end("after", 13.0), tick(14.0))]
    assert shard.apply(records) == 4
    coverage = coverage_of([shard.database])
    assert (coverage.requests, coverage.ends, coverage.skipped) == (2, 1, {"weir.inference": 2})
    assert shard.offsets() == {("weir.inference", 0): 6}
    assert shard.expire() == 0.0
    assert shard.apply(records) == 0, "the offset is committed"


def test_gaps_with_the_largest_counts_are_added_up(shard, log):
    for number in range(1100):
        shard.apply(with_numbers(log, "weir.inference", gap(f"s{number}", 1, 2), count=2**53 - 1))
    assert coverage_of([shard.database]).gaps >= 2**63 - 2**20


def test_a_record_that_sqlite_rejects_is_skipped_and_logged_without_its_values(shard, log, unstored, caplog):
    reject(shard.database, "events", "tenant", "canary-tenant")
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
    assert shard.offsets() == {("weir.inference", 0): 100, ("weir.verdicts", 0): 100}
    assert {name for name in names if request_events(shard.database, name)} == set(names) - bad
    assert unstored.call_count == 9
    assert caplog.text.count("IntegrityError") == 9
    assert "canary" not in caplog.text


def test_unreadable_records_are_logged_once_with_their_place_and_reason(shard, log, unstored, caplog):
    reject(shard.database, "events", "request_id", "bad")  # the batch is halved, so its records are read again
    junk = [entry for _ in range(3) for entry in log.raw("weir.verdicts", b"canary", [("ce_canary", b"\xff")])]
    assert shard.apply([*log.inference(request("bad", 10.0), request("r1", 10.0)), *junk]) == 1
    assert coverage_of([shard.database]).skipped == {"weir.inference": 1, "weir.verdicts": 3}
    lines = [line for line in caplog.messages if "unreadable" in line]
    assert lines[0].startswith("weir.verdicts/0: ")
    assert "at 0: header ce_specversion is not 1.0" in lines[0]
    assert sum(int(line.split()[1]) for line in lines) == 3
    assert "canary" not in caplog.text


def test_counts_equal_those_of_a_ledger_that_stores_each_record_alone(shard, log, unstored):
    alone = Shard(":memory:")
    for one in (shard, alone):
        reject(one.database, "unsettled", "detector", "toxicity")
    events = [request(f"r{n}", 3600.0 * n, owed=("pii", "toxicity") if n % 3 else ("pii",)) for n in range(1, 30)]
    records = [*log.inference(*events, tick(90.0)), *log.verdicts(*(verdict(event, "pii") for event in events))]
    assert shard.apply(records) == sum(alone.apply([record]) for record in records)
    assert list(shard.database.iterdump()) == list(alone.database.iterdump())
    assert unstored.call_count == 20
    alone.close()


def test_a_skipped_record_does_not_advance_time(log, unstored):
    shard = Shard(":memory:", retention_seconds=3600.0, unstored=unstored)
    reject(shard.database, "sources", "source", "bad")
    shard.apply(log.inference(request("r1", 10.0), tick(1_000_000.0, source="bad"), tick(20.0)))
    assert unstored.call_count == 1
    assert shard.expire() == 0.0
    assert coverage_of([shard.database]).requests == 1
    shard.close()


def test_a_skipped_alert_does_not_stop_other_alerts(log, unstored):
    decisions = Decisions(":memory:", unstored=unstored)
    reject(decisions.database, "alerts", "detector", "bad")

    def alert(name, detector="pii"):
        return event_of(alert_records.alert(name, detector=detector), name, 1.0)

    records = log.records("weir.alerts", alert("a"), alert("b", "bad"), alert("c"))
    huge = with_numbers(log, "weir.alerts", alert("d"), revision=HUGE)
    assert decisions.apply([*records, *huge, *log.records("weir.alerts", alert("e"))]) == 3
    assert decisions.database.execute("SELECT alert_id FROM alerts ORDER BY 1").fetchall() == [("a",), ("c",), ("e",)]
    skipped = decisions.database.execute("SELECT reason, records FROM skipped ORDER BY 1").fetchall()
    assert skipped == [("schema", 1), ("storage", 1)]
    assert decisions.offsets() == {("weir.alerts", 0): 5}
    assert unstored.call_count == 1
    decisions.close()


@pytest.mark.parametrize("value", [HUGE, float("nan"), "\ud800", {}, 10**400])
def test_a_value_that_sqlite_cannot_store_skips_its_record_only(shard, log, unstored, value):
    """This protects the ledger if the wire types do not check the range of a field."""
    shard.database.execute("CREATE TABLE numbers (number NOT NULL)")

    def insert(record, _event, _data):
        number = value if record.offset in {2, 5} else record.offset
        shard.database.execute("INSERT INTO numbers VALUES (?)", (number,))

    shard._handlers = {RequestRecord: insert}
    assert shard.apply(log.inference(*(request(f"r{number}", 10.0) for number in range(7)))) == 5
    assert shard.database.execute("SELECT number FROM numbers").fetchall() == [(0,), (1,), (3,), (4,), (6,)]
    assert shard.offsets() == {("weir.inference", 0): 7}
    assert coverage_of([shard.database]).skipped == {"weir.inference": 2}
    assert unstored.call_count == 2


def test_a_full_disk_skips_nothing(tmp_path, log, unstored):
    shard = Shard(tmp_path / "shard.sqlite", unstored=unstored)
    (pages,) = shard.database.execute("PRAGMA page_count").fetchone()
    shard.database.execute(f"PRAGMA max_page_count = {pages}").close()
    records = log.inference(*(request(f"r{number}", 10.0) for number in range(500)))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        shard.apply(records)
    assert (shard.offsets(), unstored.call_count) == ({}, 0)
    shard.database.execute("PRAGMA max_page_count = 100000").close()
    assert shard.apply(records) == 500
    shard.close()


async def test_a_start_on_a_full_disk_deletes_no_ledger(tmp_path, log):
    """On a full disk, SQLite cannot create the shared-memory file; the ledger itself is not damaged."""
    shard = Shard(tmp_path / "partition-0.db")
    shard.apply(log.inference(request("r1", 10.0)))
    shard.close()
    Decisions(tmp_path / "decisions.db").close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # the kernel rejects writes, as on a full disk
    try:
        with pytest.raises(sqlite3.OperationalError):
            await run_ledger(
                directory=tmp_path,
                kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
                ledger=LedgerSettings(),
                registry=CollectorRegistry(),
                tracer_provider=TracerProvider(),
                stop=asyncio.Event(),
                health={},
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert LedgerReader(tmp_path).coverage().requests == 1


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_a_file_that_is_no_ledger_is_reported_as_another_version(tmp_path, content):
    (tmp_path / "decisions.db").write_bytes(content)
    assert LedgerFiles(tmp_path).other_version() == tmp_path / "decisions.db"
