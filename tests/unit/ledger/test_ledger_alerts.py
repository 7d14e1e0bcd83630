"""The ledger's own alerts as a function of an observation, and the lag that is computed from ticks."""

import msgspec
import pytest
from support import alert_records
from support.events import closed, event_of, tick
from support.ledger_log import Log, forwarded, request, verdict
from support.ledger_store import MemoryLedger, states

from stream.ledger.alerts.ledger_alerts import decide
from stream.ledger.alerts.observations import Observation
from stream.ledger.coverage import MissingVerdicts, coverage_hours, missing_verdicts
from stream.ledger.decisions import Decisions, OutgoingAlert, is_own
from stream.ledger.detector_health import Unanswered
from stream.ledger.shard import Shard
from stream.ledger.sources import source_times, verdict_lag, watermark
from stream.ledger.time_share import TimeShare
from stream.settings import LedgerSettings
from stream.stages.watch.source_liveness import OWN_STREAM
from stream.wire.ids import alert_id, bucket_finding_id

SETTINGS = LedgerSettings()


def missing(pairs=2, requests=("r1",)):
    first, total = f"{requests[0]}/request/pii", len(requests)
    return MissingVerdicts(pairs=pairs, requests=requests, requests_total=total, first=first, detectors={"pii": pairs})


def decided(firing=(), **observation):
    return decide(firing, Observation(**{"log_time": 100.0} | observation), SETTINGS)


def test_missing_verdicts_open_one_alert_that_grows_and_resolves():
    (opened,) = decided(missing=missing())
    stated = (opened.tenant, opened.detector, opened.state, opened.severity)
    assert stated == ("_weir", "coverage", "firing", "critical")
    assert (opened.evidence, opened.evidence_total, opened.opened_at) == (("r1",), 1, 100.0)
    assert decided([opened], log_time=120.0, missing=missing()) == []
    more = missing(3, ("r1", "r2"))
    assert decided([opened], log_time=105.0, missing=more) == [], "at most once in 10 s"
    (grown,) = decided([opened], log_time=111.0, missing=more)
    assert (grown.alert_id, grown.revision, grown.evidence_total) == (opened.alert_id, 1, 2)
    (resolved,) = decided([grown], log_time=130.0)
    assert (resolved.state, resolved.resolved_at, resolved.revision) == ("resolved", 130.0, 2)


def test_the_same_log_has_the_same_alert_id_at_any_time():
    first, later = decided(missing=missing()), decided(log_time=900.0, missing=missing(5))
    assert first[0].alert_id == later[0].alert_id


@pytest.mark.parametrize("verdicts_first", [False, True])
def test_verdicts_that_kafka_deleted_before_a_rebuild_are_neither_missing_nor_late(ledger, verdicts_first):
    """The source s0 ended before the oldest verdict.

    `score` lost the last verdict of s1, for an event after the oldest verdict.
    """
    log, inference, verdicts = Log(), [], []
    for number in range(400):
        source, time = ("s0", 100.0 + number) if number < 200 else ("s1", 400.0 + number)
        event = request(f"r{number}", time, source=source, owed=("pii",))
        inference += log.inference(event, tick(time + 0.5, source))
        found = [verdict(event, "pii")] if number != 399 else []
        verdicts += log.verdicts(*found, forwarded({source: time + 0.5}))
        if number == 199:
            inference += log.inference(closed(300.0, source))
            verdicts += log.verdicts(forwarded({source: 300.0}, closed=(source,)))
    retained = verdicts[430:]
    for records in (retained, inference) if verdicts_first else (inference, retained):
        ledger.apply(records)
    (alert,) = ledger.decide()
    total = ledger.store.coverage().total
    assert (alert.detector, alert.evidence) == ("coverage", ("r399",))
    assert (total.settled, total.missing, total.owed) == (184, 1, 185)


@pytest.mark.parametrize("first", [0, 1])
def test_missing_verdicts_of_all_partitions_are_one_alert_with_the_oldest_requests_first(log, first):
    with MemoryLedger(partitions=2) as ledger:
        for p, times in ((first, (40.0, 50.0, 80.0)), (1 - first, (10.0, 20.0, 30.0, 70.0))):
            events = [request(f"m{time:.0f}", time, owed=("pii",)) for time in times]
            ledger.apply(log.inference(*events, tick(90.0), partition=p))
            ledger.apply(log.verdicts(forwarded({"s1": 60.0}, partition=p), partition=p))
        (alert,) = ledger.decide()
        coverage = ledger.store.coverage()
        (hour,) = coverage_hours([shard.database for shard in ledger.store.shards.values()])
    assert (alert.detector, alert.evidence) == ("coverage", ("m10", "m20", "m30", "m40", "m50"))
    assert (alert.evidence_total, "pii 5" in alert.summary) == (5, True), alert.summary
    assert (coverage.total.missing, coverage.total.pending, coverage.oldest_pending_time) == (5, 2, 70.0)
    assert (hour.owed, hour.missing) == (7, 5)


def test_hours_without_events_between_others_have_zeros_and_the_newest_72_hours_are_kept(log):
    with MemoryLedger(partitions=2) as ledger:
        shards = [shard.database for shard in ledger.store.shards.values()]
        assert coverage_hours(shards) == []
        for partition, hour in ((0, 1), (1, 4)):
            ledger.apply(log.inference(request(f"r{hour}", hour * 3600.0, owed=("pii",)), partition=partition))
        assert [(one.time / 3600, one.owed) for one in coverage_hours(shards)] == [(1, 1), (2, 0), (3, 0), (4, 1)]
        ledger.apply(log.inference(request("r73", 73 * 3600.0, owed=("pii",))))
        assert [one.time / 3600 for one in coverage_hours(shards)] == list(range(2, 74))


def test_lag_fires_above_its_bound_is_published_again_when_it_doubles_and_resolves_at_half():
    assert decided(lag_seconds=60.0) == []
    (fired,) = decided(lag_seconds=61.0, lag_identity="0/s1@39.0")
    assert (fired.detector, fired.severity, fired.limit) == ("lag", "warning", 60.0)
    assert decided([fired], log_time=120.0, lag_seconds=81.0) == []
    (grown,) = decided([fired], log_time=161.0, lag_seconds=122.0)
    assert (grown.alert_id, grown.revision, grown.statistic) == (fired.alert_id, 1, 122.0)
    assert decided([fired], log_time=110.0, lag_seconds=31.0) == []
    (resolved,) = decided([fired], log_time=120.0, lag_seconds=29.0)
    assert resolved.summary == "Verdicts are 61 s behind inference (limit 60 s). Resolved after 20 s."
    assert resolved.state == "resolved"


def test_an_alert_of_watch_about_a_source_is_stored_and_is_no_alert_of_the_ledger():
    decisions, log = Decisions(":memory:"), Log()
    own = {"detector": "silence", "feature": "s1", "tenant": "_weir", "model": "", "side": ""}
    watch_alert = alert_records.alert("al_1", **own)
    decisions.apply(log.records("weir.alerts", event_of(watch_alert, "al_1/0", 100.0)))
    assert decisions.own_firing() == []
    decisions.decide([OutgoingAlert(record=decided(log_time=200.0, missing=missing())[0])])
    assert [alert.record.detector for alert in decisions.own_firing()] == ["coverage"]
    assert [alert.record.detector for alert in decisions.outbox()] == ["coverage"]
    decisions.close()


def test_an_alert_about_a_detector_is_of_the_ledger_and_its_id_differs_from_that_of_a_source_alert():
    unanswered = Unanswered(detector="pii", pairs=20, errors=20, newest=99.0)
    (fired,) = decided(unanswered=(unanswered,), last_answers={"pii": None, "toxicity": 99.0})
    assert is_own(fired)
    assert not is_own(msgspec.structs.replace(fired, feature="pii"))
    finding = bucket_finding_id(OWN_STREAM, "silence/detector:pii", 3)
    assert fired.alert_id != alert_id(OWN_STREAM, "silence", finding)


@pytest.fixture
def observed():
    shard, log = Shard(":memory:"), Log()

    def observe(*, inference=(), verdicts=()):
        shard.apply(log.inference(*inference) + log.verdicts(*verdicts))
        sources = {0: source_times(shard.database)}
        lag, identity = verdict_lag(sources)
        return Observation(log_time=watermark(sources), lag_seconds=lag, lag_identity=identity)

    yield observe
    shard.close()


def test_lag_is_the_difference_between_the_ticks_of_capture_and_score(observed):
    assert observed(inference=[tick(100.0), tick(130.0)]).lag_seconds == 30.0
    assert observed(verdicts=[forwarded({"s1": 125.0})]).lag_seconds == 5.0
    idle = observed(inference=[tick(500.0)], verdicts=[forwarded({"s1": 500.0})])
    assert (idle.lag_seconds, idle.log_time) == (0.0, 500.0)


def test_the_lag_alert_opens_only_for_a_lag_that_lasts_five_decisions(ledger, log):
    ledger.apply(log.inference(tick(100.0)) + log.verdicts(forwarded({"s1": 100.0})))
    assert ledger.apply(log.inference(tick(400.0))).decide(2) == [], "score has not forwarded the tick yet"
    assert ledger.apply(log.verdicts(forwarded({"s1": 400.0}))).decide() == []
    (fired,) = ledger.apply(log.inference(tick(461.0))).decide(5)
    assert (fired.detector, fired.state, fired.statistic) == ("lag", "firing", 61.0)
    assert ledger.apply(log.verdicts(forwarded({"s1": 425.0}))).decide() == [], "above half of the bound"
    (resolved,) = ledger.apply(log.verdicts(forwarded({"s1": 461.0}))).decide()
    assert (resolved.alert_id, resolved.state) == (fired.alert_id, "resolved")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_verdict_of_a_replayed_old_record_is_missing_only_after_score_has_read_the_record(ledger, restarted):
    """After an upgrade, `weir dlq replay` writes a record that was unreadable before; the gateway has restarted since then."""
    log, late, source = Log(), request("r1", 160.0, owed=("pii",)), "s2" if restarted else "s1"
    ledger.apply(log.inference(tick(3700.0)) + log.verdicts(forwarded({"s1": 3700.0})))
    if restarted:
        ledger.apply(log.inference(closed(3700.0)) + log.verdicts(forwarded({}, closed=("s1",))))
    ledger.apply(log.inference(tick(3710.0, source)) + log.verdicts(forwarded({source: 3705.0})))
    assert ledger.apply(log.inference(late)).decide() == []
    assert ledger.apply(log.verdicts(forwarded({source: 3710.0}))).decide() == [], "this tick precedes the record"
    (fired,) = ledger.apply(log.verdicts(forwarded({source: 3711.0}))).decide()
    assert (fired.detector, fired.state) == ("coverage", "firing")
    (resolved,) = ledger.apply(log.verdicts(verdict(late, "pii"))).decide()
    assert (resolved.detector, resolved.state) == ("coverage", "resolved")


def test_without_score_the_lag_counts_from_the_first_tick_of_the_source(observed):
    assert decide([], observed(inference=[tick(100.0), tick(160.0)]), SETTINGS) == []
    (fired,) = decide([], observed(inference=[tick(161.0)]), SETTINGS)
    assert (fired.detector, fired.statistic) == ("lag", 61.0)
    (resolved,) = decide([fired], observed(verdicts=[forwarded({"s1": 161.0})]), SETTINGS)
    assert (resolved.state, resolved.resolved_at) == ("resolved", 161.0)


@pytest.mark.parametrize(
    ("inference", "verdicts", "time"),
    [
        ([tick(100.0), tick(900.0, source="s2")], {"s1": 100.0, "s2": 900.0}, 900.0),
        ([tick(100.0), request("r1", 100.0)], {"s1": 100.0}, 100.0),
    ],
    ids=["one source behind the others", "every source inactive"],
)
def test_an_inactive_source_is_no_alert_of_the_ledger(observed, inference, verdicts, time):
    observation = observed(inference=inference, verdicts=[forwarded(verdicts)])
    assert observation.log_time == time
    assert decide([], observation, SETTINGS) == []


def test_many_missing_verdicts_are_counted_less_often_than_the_ledger_decides(monkeypatch):
    """The count reads all missing verdicts. Here it needs a second, and a share of 5 % then leaves 19 s without a count."""
    now, counted, log = [0.0], [], Log()

    def slow(databases):
        counted.append(now[0])
        now[0] += 1.0
        return missing_verdicts(databases)

    monkeypatch.setattr("stream.ledger.store.missing_verdicts", slow)
    with MemoryLedger() as ledger:
        ledger.store._missing_time = TimeShare(0.05, lambda: now[0])
        event = request("r1", 10.0, owed=("pii",))
        ledger.apply(log.inference(event, tick(20.0)) + log.verdicts(forwarded({"s1": 20.0})))
        assert states(ledger.decide()) == [("coverage", "", "firing")]
        ledger.apply(log.verdicts(verdict(event, "pii")))
        found = {}
        for second in range(1, 50):
            now[0] = max(now[0], float(second))
            found |= dict.fromkeys(states(ledger.decide()), second)
    assert counted == [0.0, 20.0, 40.0]
    assert found == {("coverage", "", "resolved"): 20}
