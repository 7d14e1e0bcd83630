import msgspec
import pytest
from support.ledger_log import Log, forwarded, request, tick

from stream.ledger.alerts.ledger_alerts import decide
from stream.ledger.alerts.observations import Observation, observe
from stream.ledger.coverage import Missing, source_times
from stream.ledger.decisions import Decisions, OutgoingAlert, is_own
from stream.ledger.detector_health import Unanswered
from stream.ledger.shard import Shard
from stream.settings import LedgerSettings
from stream.stages.watch.source_liveness import OWN_STREAM
from stream.wire import AlertRecord, Event
from stream.wire.ids import alert_id, bucket_finding_id

SETTINGS = LedgerSettings()


def missing(pairs=2, requests=("r1",)):
    return Missing(
        pairs=pairs,
        requests=requests,
        requests_total=len(requests),
        first=f"{requests[0]}/request/pii",
        detectors={"pii": pairs},
    )


def test_a_gap_in_coverage_fires_once_goes_on_with_more_and_resolves():
    (opened,) = decide([], Observation(log_time=100.0, missing=missing()), SETTINGS)
    assert (opened.tenant, opened.detector, opened.state, opened.severity) == (
        "_weir",
        "coverage",
        "firing",
        "critical",
    )
    assert (opened.evidence, opened.evidence_total, opened.opened_at) == (("r1",), 1, 100.0)
    assert decide([opened], Observation(log_time=120.0, missing=missing()), SETTINGS) == []
    more = missing(3, ("r1", "r2"))
    assert decide([opened], Observation(log_time=105.0, missing=more), SETTINGS) == [], "at most once in 10 s"
    (grown,) = decide([opened], Observation(log_time=111.0, missing=more), SETTINGS)
    assert (grown.alert_id, grown.revision, grown.evidence_total) == (opened.alert_id, 1, 2)
    (resolved,) = decide([grown], Observation(log_time=130.0), SETTINGS)
    assert (resolved.state, resolved.resolved_at, resolved.revision) == ("resolved", 130.0, 2)


def test_the_same_log_gives_the_same_alert_id():
    first = decide([], Observation(log_time=100.0, missing=missing()), SETTINGS)
    later = decide([], Observation(log_time=900.0, missing=missing(5)), SETTINGS)
    assert first[0].alert_id == later[0].alert_id


def test_lag_fires_above_its_bound_and_resolves_at_half_of_it():
    assert decide([], Observation(log_time=100.0, lag_seconds=60.0), SETTINGS) == []
    (fired,) = decide([], Observation(log_time=100.0, lag_seconds=61.0, lag_at="0/s1@39.0"), SETTINGS)
    assert (fired.detector, fired.severity, fired.limit) == ("lag", "warning", 60.0)
    assert decide([fired], Observation(log_time=110.0, lag_seconds=31.0), SETTINGS) == []
    (resolved,) = decide([fired], Observation(log_time=120.0, lag_seconds=29.0), SETTINGS)
    assert resolved.state == "resolved"


def test_a_lag_that_doubles_is_told_again():
    (fired,) = decide([], Observation(log_time=100.0, lag_seconds=61.0, lag_at="0/s1@39.0"), SETTINGS)
    assert decide([fired], Observation(log_time=120.0, lag_seconds=81.0), SETTINGS) == []
    (grown,) = decide([fired], Observation(log_time=161.0, lag_seconds=122.0), SETTINGS)
    assert (grown.alert_id, grown.revision, grown.statistic) == (fired.alert_id, 1, 122.0)


def silence():
    record = AlertRecord(
        alert_id="al_silence",
        state="firing",
        detector="silence",
        severity="warning",
        tenant="_weir",
        model="",
        side="",
        opened_at=100.0,
        at=100.0,
        feature="s1",
    )
    return Event(id="al_silence/0", source="weir/alert", type=record.event_type, time=100.0, data=record)


def test_a_silence_that_watch_told_is_kept_and_not_taken_for_the_ledger_s_own():
    decisions, log = Decisions(":memory:"), Log()
    decisions.apply(log.records("weir.alerts", silence()))
    assert decisions.own_firing() == []
    decisions.decide([OutgoingAlert(record=decide([], Observation(log_time=200.0, missing=missing()), SETTINGS)[0])])
    assert [item.record.detector for item in decisions.own_firing()] == ["coverage"]
    assert [item.record.detector for item in decisions.outbox()] == ["coverage"]
    decisions.close()


def test_a_silence_of_a_detector_is_the_ledger_s_and_shares_no_id_with_a_source_of_that_name():
    unanswered = Unanswered(detector="pii", pairs=20, errors=20, newest=99.0)
    seen = Observation(log_time=100.0, unanswered=(unanswered,), heard={"pii": None, "toxicity": 99.0})
    (fired,) = decide([], seen, SETTINGS)
    assert is_own(fired)
    source = msgspec.structs.replace(fired, feature="pii")
    assert not is_own(source)
    finding = bucket_finding_id(OWN_STREAM, "silence/detector:pii", 3)
    assert fired.alert_id != alert_id(OWN_STREAM, "silence", finding)


@pytest.fixture
def seen():
    shard, log = Shard(":memory:"), Log()

    def observed(*, inference=(), verdicts=()):
        shard.apply(log.inference(*inference) + log.verdicts(*verdicts))
        return observe({0: source_times(shard.database)}, Missing())

    yield observed
    shard.close()


def test_lag_is_the_distance_of_score_s_ticks_from_capture_s(seen):
    assert seen(inference=[tick(100.0), tick(130.0)]).lag_seconds == 30.0
    assert seen(verdicts=[forwarded({"s1": 125.0})]).lag_seconds == 5.0
    at_rest = seen(inference=[tick(500.0)], verdicts=[forwarded({"s1": 500.0})])
    assert (at_rest.lag_seconds, at_rest.log_time) == (0.0, 500.0)


def test_with_score_away_from_the_start_the_lag_counts_from_the_source_s_first_tick(seen):
    assert decide([], seen(inference=[tick(100.0), tick(160.0)]), SETTINGS) == []
    (fired,) = decide([], seen(inference=[tick(161.0)]), SETTINGS)
    assert (fired.detector, fired.statistic) == ("lag", 61.0)
    (resolved,) = decide([fired], seen(verdicts=[forwarded({"s1": 161.0})]), SETTINGS)
    assert (resolved.state, resolved.resolved_at) == ("resolved", 161.0)


def test_one_source_behind_the_others_is_no_matter_of_the_ledger(seen):
    behind = seen(inference=[tick(100.0), tick(900.0, source="s2")], verdicts=[forwarded({"s1": 100.0, "s2": 900.0})])
    assert decide([], behind, SETTINGS) == []


def test_with_every_source_silent_log_time_stands_still(seen):
    at_rest = seen(inference=[tick(100.0), request("r1", 100.0)], verdicts=[forwarded({"s1": 100.0})])
    assert at_rest.log_time == 100.0
    assert decide([], at_rest, SETTINGS) == []
