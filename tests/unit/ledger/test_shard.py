"""The join of events with their verdicts in one partition; tests/property/ledger tests the counts in any order."""

import itertools
import sqlite3
import time

import msgspec
import pytest
from support.alert_records import alert
from support.alert_records import event as alert_event
from support.events import tick
from support.ledger_log import Log, aborted, end, explanation, forwarded, gap, request, verdict
from support.ledger_store import MemoryLedger

from stream.ledger import shard as module
from stream.ledger.coverage import coverage_of, missing_verdicts
from stream.ledger.decisions import Decisions
from stream.ledger.queries.request_story import request_events, request_story
from stream.ledger.schema import transaction
from stream.ledger.shard import Shard
from stream.wire import Event, Feedback, Span, encode

#: A request that expects verdicts of pii and toxicity, and a request that expects a verdict of pii.
EVENT, PII = request("r1", 10.0), request("r1", 10.0, owed=("pii",))


@pytest.fixture
def shard():
    shard = Shard(":memory:")
    yield shard
    shard.close()


def review(name, tenant, at, label="right"):
    """Return the review of an alert that does not exist."""
    data = Feedback(request_id=name, tenant=tenant, principal="k_1", label=label, alert_id=f"al_{name}")
    return Event(id=f"{tenant}/{name}", source="gw-1", type=data.event_type, time=at, data=data)


def counts(shard):
    """Return the numbers of expected, completed, missing, failed and pending pairs."""
    total = coverage_of([shard.database]).total
    return total.owed, total.settled, total.missing, total.errors, total.pending


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("first", ["aborted", "complete"])
def test_a_complete_end_replaces_the_substitute_end_of_a_dead_source(shard, log, batches, first):
    """If an intake is killed between request and end, a retry sends the exchange again: two ends, in different hours."""
    ends = [aborted("r1", 10.0), end("r1", 5000.0, source="s2")]
    events = [request("r1", 9.0), *(ends if first == "aborted" else reversed(ends))]
    records = [*log.inference(*events), *log.verdicts(verdict(ends[1], "pii"))]
    for start in range(batches):
        shard.apply(records[start::batches])
    shard.apply(log.inference(ends[0]))
    assert request_events(shard.database, "r1").end.status == "complete"
    assert counts(shard) == (3, 1, 0, 0, 2)
    query = "SELECT hour, requests, ends FROM requests WHERE requests OR ends ORDER BY 1"
    assert shard.database.execute(query).fetchall() == [(0, 1, 0), (1, 0, 1)]


def test_an_aborted_end_of_a_running_gateway_keeps_its_expected_verdicts(shard, log):
    lost = end("r1", 11.0, status="aborted")
    shard.apply(log.inference(lost, end("r1", 12.0, source="s2")))
    assert (request_events(shard.database, "r1").end.status, counts(shard)[0]) == ("aborted", 1)


def test_a_verdict_that_replaces_an_error_has_its_part_and_spans(shard, log):
    failed, found = verdict(PII, "pii", label="error"), verdict(PII, "pii", flagged=True, label="pii")
    spans = Span(start=1, end=2, type="PERSON"), Span(start=1, end=2, type="PERSON", part="/messages/1/parts/0")
    data = msgspec.structs.replace(found.data, part="/messages/2/parts/0", spans=spans)
    shard.apply(log.inference(PII) + log.verdicts(failed, msgspec.structs.replace(found, data=data)))
    (note,) = request_events(shard.database, "r1").verdicts
    assert note.verdict == data


def test_an_explanation_completes_no_pair_and_can_arrive_twice_or_first(shard, log):
    words = explanation(EVENT, "toxicity", *((3 * n, 3 * n + 2, 1.0) for n in range(30)))
    flagged = {"flagged": True, "label": "toxic"}
    shard.apply(log.verdicts(words, words))
    shard.apply(log.inference(EVENT) + log.verdicts(verdict(EVENT, "toxicity", **flagged)))
    assert counts(shard) == (2, 1, 0, 0, 1)
    (note,) = request_events(shard.database, "r1").verdicts
    assert note.explanation.method == "shap"
    assert [word.start for word in note.explanation.words] == list(range(0, 60, 3)), "twenty words at most"
    shard.apply(log.verdicts(verdict(EVENT, "toxicity", version="2", **flagged)))
    assert [note.explanation is None for note in request_events(shard.database, "r1").verdicts] == [False, True]


def test_an_unknown_event_type_is_skipped_and_counted(shard, log):
    (known,) = Log().verdicts(verdict(EVENT, "pii"))
    later = [(name, b"weir.later.v1" if name == "ce_type" else value) for name, value in known.headers]
    shard.apply(log.inference(EVENT) + log.raw("weir.verdicts", known.value, later))
    shard.apply(log.verdicts(verdict(EVENT, "pii"), verdict(EVENT, "toxicity")))
    assert counts(shard)[1] == 2
    assert coverage_of([shard.database]).skipped == {"weir.verdicts": 1}


def test_a_pair_is_missing_after_a_later_tick_of_score_and_a_late_verdict_completes_it(shard, log):
    shard.apply(log.inference(EVENT) + log.verdicts(verdict(EVENT, "pii"), forwarded({"s1": 10.0})))
    assert counts(shard) == (2, 1, 0, 0, 1), "a tick at the event's own time does not pass it"
    shard.apply(log.verdicts(forwarded({"s1": 10.5})))
    assert counts(shard) == (2, 1, 1, 0, 0)
    missing = missing_verdicts([shard.database])
    assert (missing.first, missing.requests, missing.detectors) == ("r1/request/toxicity", ("r1",), {"toxicity": 1})
    shard.apply(log.verdicts(verdict(EVENT, "toxicity")))
    assert counts(shard) == (2, 2, 0, 0, 0)
    assert missing_verdicts([shard.database]).pairs == 0


def test_a_verdict_replaces_the_error_of_its_version_but_not_the_reverse(shard, log):
    shard.apply(log.inference(PII))
    for label in ("error", "flagged", "error"):
        shard.apply(log.verdicts(verdict(PII, "pii", label=label, flagged=label == "flagged")))
    assert shard.database.execute("SELECT label, flagged FROM verdicts").fetchall() == [("flagged", 1)]
    assert counts(shard) == (1, 1, 0, 0, 0)


def test_an_error_that_two_versions_replace_is_subtracted_once(shard, log):
    shard.apply(log.inference(PII))
    for version, label in (("1", "error"), ("2", "ok"), ("1", "ok")):
        shard.apply(log.verdicts(verdict(PII, "pii", version=version, label=label)))
    assert counts(shard) == (1, 1, 0, 0, 0)


def test_coverage_is_split_by_detector_tenant_and_model(shard, log):
    other = end("r2", 11.0, tenant="beta", model="n", owed=("pii",))
    shard.apply(log.inference(EVENT, other) + log.verdicts(verdict(EVENT, "pii"), verdict(other, "pii", label="error")))
    coverage = coverage_of([shard.database])
    split = {name: (count.owed, count.settled, count.errors) for name, count in coverage.by_detector.items()}
    assert split == {"pii": (2, 2, 1), "toxicity": (1, 0, 0)}
    assert {name: count.owed for name, count in coverage.by_tenant.items()} == {"acme": 2, "beta": 1}
    assert {name: count.pending for name, count in coverage.by_model.items()} == {"m": 1, "n": 0}


def test_unreadable_records_are_counted_and_the_others_stored(shard, log):
    headers = encode(PII).headers
    bad = log.raw("weir.inference", b"\x00garbage") + log.raw("weir.inference", b'{"request_id": 7}', headers)
    shard.apply(bad + log.inference(PII) + log.raw("weir.verdicts", None))
    coverage = coverage_of([shard.database])
    assert (coverage.requests, coverage.skipped) == (1, {"weir.inference": 2, "weir.verdicts": 1})
    assert shard.offsets() == {("weir.inference", 0): 3, ("weir.verdicts", 0): 1}


def test_gap_records_count_once_with_their_requests(shard, log):
    shard.apply(log.inference(gap("s1", 3, 5, ("r7",)), gap("s1", 3, 5, ("r7",)), gap("s1", 9, 9)))
    assert coverage_of([shard.database]).gaps == 4
    assert shard.database.execute("SELECT request_id FROM gap_requests").fetchall() == [("r7",)]


def test_copies_of_a_request_are_no_requests_but_their_verdicts_count(shard, log):
    copies = [request("r2", 11.0, owed=(), shadow_of="r1"), aborted("r2", 12.0, shadow_of="r1")]
    shard.apply(log.inference(EVENT, *copies, end("r2", 13.0, owed=("consistency",), shadow_of="r1")))
    coverage = coverage_of([shard.database])
    assert (coverage.requests, coverage.ends, sorted(coverage.by_detector)) == (
        1,
        0,
        ["consistency", "pii", "toxicity"],
    )


@pytest.mark.parametrize(("shadow_of", "alerts"), [("", ["al_1"]), ("r0", [])])
def test_a_firing_alert_of_the_stream_does_not_belong_to_a_copy(shard, log, shadow_of, alerts):
    """A flagged answer of a copy makes no finding."""
    answer = end("r1", 10.0, shadow_of=shadow_of)
    firing = alert(model=answer.data.model, side="output", detector="toxicity", evidence=("r2",), opened_at=5.0, at=9.0)
    shard.apply([*log.inference(answer), *log.verdicts(verdict(answer, "toxicity", flagged=True))])
    decisions = Decisions(":memory:")
    decisions.apply(log.records("weir.alerts", alert_event(firing)))
    story = request_story("r1", request_events(shard.database, "r1"), decisions.database)
    decisions.close()
    assert [one.alert_id for one in story.alerts] == alerts


def test_hours_past_the_retention_are_deleted_with_their_counts_and_explanations(log):
    shard = Shard(":memory:", retention_seconds=7200)
    old, new = request("r1", 3600.0), request("r2", 4 * 3600.0)
    late = [verdict(old, "pii"), explanation(old, "pii"), explanation(new, "pii")]
    shard.apply(log.inference(old, new) + log.verdicts(*late))
    while shard.expire():
        pass
    coverage = coverage_of([shard.database])
    assert (coverage.requests, coverage.total.owed, coverage.total.settled) == (1, 2, 0)
    shard.apply(log.inference(old) + log.verdicts(verdict(old, "pii"), explanation(old, "pii", version="2")))
    assert coverage_of([shard.database]).requests == 1, "an expired duplicate is not stored"
    assert shard.database.execute("SELECT event_id FROM explanations").fetchall() == [("r2/request",)]
    shard.close()


def test_the_newest_reviews_of_each_tenant_are_kept_after_the_retention(log, monkeypatch):
    """A client can review any number of alerts that do not exist; these reviews must not fill the disk, nor replace those of other tenants."""
    monkeypatch.setattr(module, "_REVIEWS", 2)
    shard = Shard(":memory:", retention_seconds=3600)
    reviews = [
        review(f"r{number}", tenant, 3600.0 + number) for tenant in "ab" for number in range(5 if tenant == "a" else 1)
    ]
    expired = review("r9", "a", 3600.0, label="other")
    shard.apply(log.inference(request("r1", 3600.0), request("r2", 9 * 3600.0)))
    shard.apply(log.records("weir.feedback", *reviews, expired))
    while shard.expire():
        pass
    kept = shard.database.execute("SELECT tenant, request_id FROM feedback ORDER BY 1, 2").fetchall()
    assert kept == [("a", "r3"), ("a", "r4"), ("b", "r0")]
    shard.close()


def sums(shard):
    """Return the sums that coverage reads, and the same sums of the rows of the hours."""
    counted = {
        "pair": ("pairs", "detector, tenant, model", "owed, settled, errors"),
        "request": ("requests", "tenant, model", "requests, ends"),
    }
    found = []
    for name, (table, names, columns) in counted.items():
        total = ", ".join(f"sum({column})" for column in columns.split(", "))
        of_hours = f"SELECT {names}, {total} FROM {table} GROUP BY {names} ORDER BY {names}"
        stored = f"SELECT {names}, {columns} FROM {name}_totals ORDER BY {names}"
        found.append([shard.database.execute(query).fetchall() for query in (stored, of_hours)])
    return found


def test_the_sums_of_coverage_are_those_of_the_hours_that_are_left(log):
    shard = Shard(":memory:", retention_seconds=3600)
    events = [request(f"r{hour}-{one}", hour * 3600.0, tenant=f"t{one}") for hour in (1, 2, 5) for one in range(hour)]
    failed = [verdict(event, "pii", label="error") for event in events]
    shard.apply(log.inference(*events) + log.verdicts(*failed) + log.inference(aborted("r1-0", 3601.0, tenant="t0")))
    shard.apply(
        log.verdicts(*(verdict(event, "pii") for event in events[:2])) + log.inference(end("r1-0", 3602.0, tenant="t0"))
    )
    lengths = []
    while True:
        for stored, of_hours in sums(shard):
            assert stored == of_hours
            lengths.append(len(stored))
        if not shard.expire():
            break
    assert lengths[:2] == [10, 5]
    shard.close()
    shard = Shard(":memory:", retention_seconds=3600)
    shard.apply(log.inference(request("only", 3600.0, tenant="gone"), request("r", 9 * 3600.0)))
    while shard.expire():
        pass
    assert coverage_of([shard.database]).by_tenant.keys() == {"acme"}, "a tenant without requests leaves the sums"
    shard.close()


def test_coverage_reads_no_table_with_a_row_per_hour(shard, log):
    """A week of 2,000 tenants has four million such rows; the service reads coverage every second."""
    shard.apply(log.inference(EVENT, end("r1", 11.0)) + log.verdicts(verdict(EVENT, "pii")))
    read = set()

    def note(action, table, *_):
        read.update({table} if action == sqlite3.SQLITE_READ else ())
        return sqlite3.SQLITE_OK

    shard.database.set_authorizer(note)
    coverage_of([shard.database])
    assert {"pair_totals", "request_totals"} <= read
    assert not {"pairs", "requests", "events", "verdicts"} & read


def test_an_hour_is_deleted_a_minute_at_a_time_and_its_counts_with_the_last_minute(log):
    """The service reads no records during a deletion, and an hour of 100 requests per second has three million rows."""
    shard = Shard(":memory:", retention_seconds=3600)
    hours = (1, 2, 5, 9)
    events = [request(f"r{hour}-{row}", hour * 3600.0 + 30 * row) for hour in hours for row in range(8)]
    shard.apply(log.inference(*events) + log.verdicts(*(verdict(event, "pii") for event in events)))
    left = []
    while shard.expire():
        rows, requests = (f"SELECT {what}" for what in ("count(*) FROM events", "sum(requests) FROM requests"))
        left.append([shard.database.execute(query).fetchone()[0] for query in (rows, requests)])
    rows, requests = zip([32, 32], *left, strict=True)
    assert {before - after for before, after in itertools.pairwise(rows)} == {0, 2}
    assert sorted(set(requests)) == [8, 16, 24, 32]
    assert all(stored <= counted for stored, counted in left)
    assert len(left) == 3 * 60 + 1, "all hours without requests need one call"
    assert counts(shard) == (16, 8, 0, 0, 8)
    shard.close()


def test_one_call_deletes_rows_of_one_file_only(log):
    left = [[2, 2]]
    with MemoryLedger(partitions=2, retention_seconds=3600.0) as ledger:
        for partition in (0, 1):
            events = [request(f"r{partition}-{hour}", hour * 3600.0) for hour in (1, 4)]
            ledger.apply(log.inference(*events, partition=partition))
        files = [shard.database for shard in ledger.store.shards.values()]
        while ledger.store.expire():
            left.append([file.execute("SELECT count(*) FROM events").fetchone()[0] for file in files])
    assert [state for state, _ in itertools.groupby(left)] == [[2, 2], [1, 2], [1, 1]]


def test_the_write_ahead_log_is_truncated_after_a_large_transaction(tmp_path):
    shard, wal = Shard(tmp_path / "partition-0.db"), tmp_path / "partition-0.db-wal"
    with transaction(shard.database):
        shard.database.execute("INSERT INTO meta VALUES ('large', hex(zeroblob(16000000)))")
    assert wal.stat().st_size > 30_000_000
    shard.database.execute("INSERT INTO meta VALUES ('small', '')")
    assert wal.stat().st_size < 17_000_000
    shard.close()


def test_a_kill_before_the_first_tick_of_a_rebuild_makes_no_verdict_missing_that_kafka_deleted(log, tmp_path):
    late = request("r2", 20.0, owed=("pii",))
    for _ in range(9):
        log.verdicts(forwarded({}))  # deleted
    shard = Shard(tmp_path / "partition-0.db")
    shard.apply(log.inference(EVENT, late) + log.verdicts(verdict(late, "pii")))
    shard.close()
    shard = Shard(tmp_path / "partition-0.db")
    shard.apply(log.verdicts(forwarded({"s1": 21.0})))
    assert counts(shard) == (1, 1, 0, 0, 0)
    shard.close()


def test_no_table_contains_text(shard, log):
    answer = end("r1", 11.0)
    shard.apply(log.inference(EVENT, answer, tick(12.0)) + log.verdicts(verdict(EVENT, "pii", flagged=True)))
    dump = "\n".join(shard.database.iterdump())
    assert "r1/request" in dump
    assert "canary" not in dump


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("end_turn", "end_turn"), ("canary Anna", "other"), ("x" * 33, "other"), (None, None)],
)
def test_a_finish_reason_that_could_be_text_is_stored_as_other(shard, log, sent, stored):
    shard.apply(log.inference(EVENT, end("r1", 11.0, finish_reason=sent)))
    assert request_events(shard.database, "r1").end.finish_reason == stored


def test_a_source_whose_clock_is_ahead_does_not_delete_the_others(log):
    shard, now = Shard(":memory:", retention_seconds=168 * 3600.0), time.time() - 3600
    shard.apply(log.inference(request("r1", now), tick(now + 8 * 86_400, "s2")))
    while shard.expire():
        pass
    shard.apply(log.inference(request("r2", now + 60)))
    assert shard.database.execute("SELECT sum(requests) FROM requests").fetchone() == (2,)
    shard.close()


def test_a_clock_that_is_ahead_by_years_puts_no_event_more_than_an_hour_after_its_record(shard, log):
    stored, years = 1_800_000_000_000, 10 * 365 * 86_400
    records = log.inference(request("r1", stored / 1000 + years), tick(stored / 1000 + years))
    shard.apply([msgspec.structs.replace(record, timestamp=stored) for record in records])
    query = "SELECT time, (SELECT capture_time FROM sources) FROM events"
    assert shard.database.execute(query).fetchone() == (stored / 1000 + 3600,) * 2
