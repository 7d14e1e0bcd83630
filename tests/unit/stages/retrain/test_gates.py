import msgspec
import pytest
from support import alert_records
from support.alert_log import Alerts, settings
from support.signal_log import MODEL, finding_of, trace_of, watch_tick

from stream.stages.retrain.machine import Retraining
from stream.stages.retrain.records import pinned_versions
from stream.stages.retrain.state import ModelState, decode
from stream.stages.shared.state_codec import encode
from stream.wire import RetrainingRecord

SPREAD = {"k1": 70, "k2": 70, "k3": 60}


def alert(detector, at, *, name="", **fields):
    given = {"opened_at": 100.0, "model": MODEL, "events": 200, "windows": 3, "principals": SPREAD} | fields
    record = alert_records.alert(
        f"al_{name or detector}_{given.get('side', 'input')}", detector=detector, at=at, **given
    )
    event = alert_records.event(record)
    return msgspec.structs.replace(event, correlationid="r1", traceparent=trace_of(len(detector)))


class Run:
    def __init__(self, **retraining):
        self.stage = Retraining(settings(retraining=retraining))
        self.state = ModelState(tenant="acme", model=MODEL)
        self.offset = -1

    def __call__(self, *events):
        decisions = []
        for event in events:
            self.offset += 1
            decisions.append(self.stage.alert(self.state, event, self.offset))
        return [decision for decision in decisions if decision is not None]

    def reload(self):
        self.state.alerts, self.state.requests = (
            decode(encode(half)) for half in (self.state.alerts, self.state.requests)
        )

    def last(self, *events):
        return self(*events)[-1].record


def refused(record):
    return [name for name, passed in record.gates.items() if not passed]


@pytest.fixture
def run():
    return Run()


def test_drift_and_a_second_detector_cause_a_request_with_its_evidence(run):
    first, second = run(alert("toxicity", 110.0), alert("drift", 120.0))
    assert (first.record.state, refused(first.record), first.record.detectors) == ("suppressed", ["agree"], ())
    record = second.record
    assert (record.state, record.at, record.tenant, record.model) == ("requested", 120.0, "acme", MODEL)
    assert record.alert_ids == ("al_drift_input", "al_toxicity_input")
    assert record.reason == "drift and toxicity agree: 3 windows, 400 events, 3 API keys"
    assert (refused(record), record.detectors) == ([], ("drift", "toxicity"))
    assert (second.since, second.until) == (95.0, 120.0)
    assert (second.cause, second.request_id) == ("al_drift_input", "r1")
    assert second.traceparent == trace_of(5)
    assert second.links == (trace_of(8),)


def test_alerts_about_weir_itself_cause_no_decision(run):
    assert run(*(alert(name, 100.0, tenant="_weir") for name in ("silence", "coverage", "lag", "drift", "pii"))) == []
    assert run.state.alerts.firing == {}
    assert run.last(alert("drift", 100.0), alert("pii", 101.0)).state == "requested", (
        "the same detectors of another tenant cause a request"
    )


@pytest.mark.parametrize("detector", ["pii", "toxicity", "injection", "refusal", "anomaly"])
def test_retraining_is_not_requested_without_drift(detector):
    record = Run(agreeing_alerts=1).last(alert(detector, 110.0, events=10_000, windows=50))
    assert record.state == "suppressed"
    assert record.reason == f"needs drift; firing: {detector}"


def test_drift_alone_is_not_enough_and_drift_on_both_sides_is_one_detector(run):
    assert refused(run.last(alert("drift", 110.0), alert("drift", 111.0, side="output"))) == ["agree"]
    assert run.last(alert("pii", 112.0, side="output")).state == "requested"
    missing = Run(agreeing_alerts=3).last(alert("pii", 110.0), alert("toxicity", 111.0))
    assert missing.reason == "needs drift plus 2 other detectors; firing: pii, toxicity"


@pytest.mark.parametrize(
    ("gate", "more", "reason"),
    [
        ("windows", {"windows": 2}, "windows: has 2, needs 3"),
        ("events", {"events": 99, "principals": {"k1": 33, "k2": 33, "k3": 33}}, "events: has 198, needs 200"),
        ("principals", {"principals": {"k1": 100, "k2": 100}}, "API keys: has 2, needs 3"),
        (
            "largest_share",
            {"principals": {"k1": 110, "k2": 50, "k3": 40}},
            "largest share of one API key: has 0.55, needs at most 0.50",
        ),
    ],
)
def test_each_gate_fails_with_its_value_and_bound_and_passes_at_the_bound(gate, more, reason):
    record = Run().last(alert("toxicity", 110.0, **more), alert("drift", 120.0, **more))
    assert (record.state, refused(record), record.reason) == ("suppressed", [gate], reason)
    enough = {"windows": 3, "events": 100, "principals": {"k1": 50, "k2": 30, "k3": 20}}
    assert Run().last(alert("toxicity", 110.0, **enough), alert("drift", 120.0, **enough)).state == "requested"


def test_an_alert_with_32_keys_can_have_more_keys_than_it_names():
    many = {"events": 400, "principals": {f"k{number}": 10 for number in range(32)}}
    other = many | {"principals": {f"k{number}": 10 for number in range(31, 35)}}
    assert Run().last(alert("toxicity", 110.0, **other), alert("drift", 120.0, **many)).reason == (
        "drift and toxicity agree: 3 windows, 800 events, at least 35 API keys"
    )
    record = Run(principals=40).last(alert("toxicity", 110.0, **other), alert("drift", 120.0, **many))
    assert record.reason == "API keys: has at least 35, needs 40"


def test_drift_is_suppressed_while_the_fixed_prompts_changed_too(run):
    told = run(
        alert("toxicity", 110.0),
        alert("drift", 120.0, sentinels="moved"),
        alert("drift", 130.0, revision=1, sentinels="moved"),
        alert("drift", 140.0, revision=2),  # watch was restarted and has not received a sentinel note
        alert("drift", 150.0, revision=3, sentinels="still"),
    )
    first, moved, still = (decision.record for decision in told)
    assert refused(first) == ["agree"]
    assert (moved.state, moved.at, refused(moved)) == ("suppressed", 120.0, ["sentinels"])
    assert "fixed prompts" in moved.reason
    assert (still.state, still.at, refused(still)) == ("requested", 150.0, [])
    off = Run(sentinels=False)
    assert off.last(alert("toxicity", 110.0), alert("drift", 120.0, sentinels="moved")).state == "requested"


def test_the_result_of_the_fixed_prompts_is_stored_in_the_state(run):
    run(alert("toxicity", 110.0), alert("drift", 120.0, sentinels="moved"))
    run.reload()
    assert run(alert("drift", 130.0, revision=1)) == []
    assert run(alert("drift", 140.0, state="resolved", revision=2)) == []
    assert run.last(alert("drift", 150.0, name="later")).state == "requested", (
        "the result does not apply to a later alert"
    )


def test_alerts_caused_by_one_flooding_key_do_not_count_as_a_second_detector(run):
    """The key has a small share of all traffic and all of the toxicity findings."""
    flood = alert("toxicity", 110.0, events=60, principals={"k9": 60})
    record = run.last(flood, alert("drift", 120.0, events=600, principals={"k1": 200, "k2": 200, "k3": 140, "k9": 60}))
    assert (record.state, refused(record)) == ("suppressed", ["largest_share"])
    assert "has 1.00" in record.reason
    assert run.last(alert("pii", 130.0, events=30, principals={"k1": 10, "k2": 10, "k3": 10})).state == "requested"


@pytest.mark.parametrize(
    ("keys", "share"),
    [
        ([f"k{number % 32}" for number in range(64)] + ["k99"] * 1000, 1000 / 1064),
        ([f"k{number % 300}" for number in range(900)] + ["k99"] * 880, 880 / 1780),
    ],
    ids=["one key has most findings", "many keys, and one has almost half of the findings"],
)
def test_the_share_of_a_key_is_from_all_findings_of_an_alert(keys, share):
    findings = [finding_of(f"r{number}", 100.0, "toxicity", principal=name) for number, name in enumerate(keys)]
    (*_, last) = Alerts().run([*findings, watch_tick(112.0)])
    record = Run().last(last, alert("drift", 120.0, events=10_000, principals={"k1": 10, "k2": 10, "k3": 10}))
    assert refused(record) == (["largest_share"] if share > 0.5 else [])


def test_a_suppression_is_published_once_per_alert_set_and_failed_gates_and_can_become_a_request(run):
    few = {"events": 10, "principals": {"k1": 4, "k2": 3, "k3": 3}}
    told = run(
        alert("toxicity", 110.0, **few),
        alert("drift", 120.0, **few),
        alert("drift", 130.0, revision=1, **few),
        alert("drift", 135.0, revision=2, **few | {"principals": {"k1": 10}}),
        alert("drift", 140.0, revision=3, events=150, principals={"k1": 60, "k2": 50, "k3": 40}),
        alert("drift", 150.0, revision=4),
    )
    assert [(decision.record.state, refused(decision.record)) for decision in told] == [
        ("suppressed", ["agree", "events"]),
        ("suppressed", ["events"]),
        ("suppressed", ["events", "largest_share"]),
        ("requested", []),
    ]
    assert len({decision.record.retraining_id for decision in told}) == 4


def test_the_cool_down_suppresses_requests_and_is_published_only_for_new_alerts():
    run = Run(cool_down_seconds=1000)
    run(alert("toxicity", 110.0), alert("drift", 120.0))
    assert run(alert("drift", 130.0, revision=1)) == []
    (decision,) = run(alert("pii", 200.0))
    assert refused(decision.record) == ["cool_down"]
    assert decision.record.reason == f"cool-down: has 80 s since {run.state.requested.retraining_id}, needs 1000 s"
    (late,) = run(alert("leak", 119.9))  # the event time of this alert is before that of the request
    assert late.record.reason.startswith("cool-down: has 0 s since")
    assert run(alert("drift", 1119.0, revision=2)) == []
    first = run.state.requested.retraining_id
    (again,) = run(alert("drift", 1120.0, revision=3))
    assert again.record.state == "requested"
    assert again.record.retraining_id != first


def test_a_run_that_was_started_blocks_requests_until_it_has_ended():
    run = Run(cool_down_seconds=0)
    (_, request) = run(alert("toxicity", 110.0), alert("drift", 120.0))
    for offset, (kind, expected) in enumerate([("started", []), ("completed", ["requested"])]):
        record = RetrainingRecord(
            retraining_id=request.record.retraining_id, state=kind, reason="", tenant="acme", model=MODEL, at=1.0
        )
        run.stage.progress(run.state.requests, record, offset)
        decisions = run(alert("drift", 130.0 + offset, revision=1 + offset))
        assert [decision.record.state for decision in decisions] == expected


def progressed(run, *records):
    """Apply records of the request from (state, fields); return the decision on a new alert at event time 130."""
    (_, request) = run(alert("toxicity", 110.0), alert("drift", 120.0))
    assert request.record.detectors == ("drift", "toxicity")
    # After a crash, the stage reads the first record again.
    for offset, (state, fields) in [*enumerate(records), *enumerate(records[:1])]:
        given = {"retraining_id": request.record.retraining_id, "reason": "", "at": 1.0} | fields
        record = RetrainingRecord(state=state, tenant="acme", model=MODEL, **given)
        run.stage.progress(run.state.requests, record, offset)
    run.reload()
    return run.last(alert("pii", 130.0))


LEASE = {"epoch": 1, "lease_until": 200.0}
EXPIRED = {"epoch": 1, "lease_until": 130.0}
OTHER = {"retraining_id": "rt_other"}


@pytest.mark.parametrize(
    "records",
    [
        [("approved", {}), ("dataset", LEASE)],
        [("started", LEASE), ("progress", LEASE)],
        [("started", EXPIRED), ("started", {"epoch": 2, "lease_until": 200.0})],
        [("started", {"epoch": 2, "lease_until": 200.0}), ("failed", {"epoch": 1})],  # a record of the earlier owner
        [("started", {"epoch": 2, "lease_until": 200.0}), ("progress", EXPIRED)],
        [("started", {"epoch": 2, "lease_until": 200.0}), ("trained", {}), ("failed", {"epoch": 1})],
        [("started", LEASE), ("completed", {})],  # Weir's own trainer continues with the gate
        [("started", LEASE), ("trained", {"epoch": 1}), ("blessed", {"epoch": 1})],
        [("started", EXPIRED), ("blessed", {}), ("shadow", {}), ("canary", {})],
        [("blessed", {"retraining_id": "rt_operator"}), ("shadow", {"retraining_id": "rt_operator"})],
        [("started", {}), ("failed", OTHER)],
        [
            ("started", LEASE),
            ("failed", {"epoch": 1}),
            ("started", {"epoch": 2, "lease_until": 200.0}),
        ],  # a resumed request
        [("started", LEASE), ("failed", {"epoch": 1}), ("started", EXPIRED | {"epoch": 2}), ("canary", {})],
        [("canary", {}), ("started", OTHER | LEASE), ("failed", OTHER | {"epoch": 1})],
        [("canary", {}), ("started", OTHER | EXPIRED)],
        [("shadow", OTHER), ("started", LEASE), ("canary", OTHER), ("promoted", OTHER)],
        [("started", {}), ("completed", {}), ("shadow", {})],  # a version of an external trainer
        [("started", EXPIRED), ("progress", LEASE)],  # a renewed lease
        [("started", OTHER | EXPIRED | {"epoch": 2}), ("started", LEASE)],  # epochs of two requests
    ],
)
def test_a_request_in_progress_blocks_further_requests(records):
    record = progressed(Run(cool_down_seconds=0), *records)
    assert (record.state, refused(record)) == ("suppressed", ["in_flight"])


def test_the_gate_names_the_request_in_delivery_while_another_request_is_trained():
    run = Run(cool_down_seconds=0)
    record = progressed(run, ("shadow", OTHER), ("started", LEASE))
    assert record.reason == "retraining in progress: has rt_other, needs none"
    assert run.state.requests.in_flight_id == run.state.requested.retraining_id


@pytest.mark.parametrize(
    "records",
    [
        [("approved", {})],
        [("rejected", {})],
        [("started", {}), ("completed", {})],
        [("started", EXPIRED)],
        [("started", EXPIRED), ("trained", {}), ("blessed", {})],  # the trainer died, and no delivery took over
        [("blessed", {"retraining_id": "rt_operator"})],  # `weir models promote`, and no delivery runs
        *([("started", LEASE), (end, {"epoch": 1})] for end in ("refused", "failed", "expired")),
        *([("started", LEASE), ("canary", {}), (end, {})] for end in ("promoted", "rolled_back")),
        [("canary", {}), ("started", OTHER | LEASE), ("failed", OTHER | {"epoch": 1}), ("expired", {})],
        [("started", LEASE), ("failed", {"epoch": 1}), ("progress", LEASE)],  # a late record of an owner that died
        [("started", LEASE), ("canary", {}), ("promoted", {}), ("progress", LEASE)],  # the same after its delivery
    ],
)
def test_after_a_request_has_ended_or_its_lease_has_expired_a_new_request_is_possible(records):
    assert progressed(Run(cool_down_seconds=0), *records).state == "requested"


def test_the_versions_change_with_the_settings_of_the_tenant():
    first, same, other = (pinned_versions(settings(retraining={"windows": windows})) for windows in (2, 2, 3))
    assert first == same
    assert set(first) == {"weir", "settings"}
    assert first["settings"] != other["settings"]


def test_a_resolved_alert_does_not_count_and_its_duplicate_does_not_fire_it_again(run):
    opened = alert("toxicity", 110.0)
    run(opened, alert("toxicity", 115.0, state="resolved", revision=1))
    assert run(opened) == []
    assert run.state.alerts.firing == {}
    run.state.alerts.resolved.clear()  # as after 64 later alerts
    run.offset = 0
    assert run(opened, opened) == []
    assert run.state.alerts.firing == {}
    assert refused(run.last(alert("drift", 120.0))) == ["agree"]


def test_an_older_revision_does_not_replace_a_newer_one(run):
    run(alert("drift", 110.0, revision=1), alert("drift", 100.0, events=1), alert("drift", 110.0, revision=1, events=1))
    assert run.state.alerts.firing["al_drift_input"].events == 200


def test_alerts_that_are_read_again_after_a_crash_cause_no_second_decision(run):
    log = [alert("toxicity", 110.0), alert("drift", 120.0)]
    run(*log)
    run.reload()
    run.offset = -1
    assert run(*log) == []
    lost = Run()
    assert [decision.record.retraining_id for decision in lost(*log)][-1] == run.state.requested.retraining_id


def test_a_rebuilt_state_has_the_newest_request_from_the_retraining_topic():
    run = Run(cool_down_seconds=1000)
    for offset, (name, at) in enumerate((("rt_1", -6000.0), ("rt_3", 90.0), ("rt_2", -5000.0))):
        fields = {"retraining_id": name, "state": "requested", "reason": "", "at": at, "alert_ids": (f"al_{name}",)}
        run.stage.progress(run.state.requests, RetrainingRecord(tenant="acme", model=MODEL, **fields), offset)
    assert refused(run.last(alert("toxicity", 110.0), alert("drift", 120.0))) == ["cool_down"]


def test_the_alert_with_the_most_windows_counts():
    assert Run().last(alert("toxicity", 110.0, windows=1), alert("drift", 120.0, windows=3)).state == "requested"


@pytest.mark.parametrize(("flooded", "agreeing", "failed"), [("drift", 2, True), ("pii", 3, True), ("pii", 2, False)])
def test_one_key_must_not_cause_the_findings_of_a_required_detector(flooded, agreeing, failed):
    many = {"events": 600, "principals": {"k1": 200, "k2": 200, "k3": 200}}
    flood = {"events": 60, "principals": {"k9": 60}}
    log = [alert(name, 110.0, **(flood if name == flooded else many)) for name in ("toxicity", "pii", "drift")]
    record = Run(agreeing_alerts=agreeing).last(*log)
    assert refused(record) == ["largest_share"] * failed
    alone = Run(agreeing_alerts=1).last(alert("pii", 110.0, **flood), alert("drift", 120.0, **many))
    assert alone.state == "requested", (
        "drift alone is enough, and a flood of another detector cannot prevent the request"
    )


def test_findings_without_api_keys_do_not_confirm_a_drift():
    record = Run().last(alert("toxicity", 110.0, principals={}), alert("drift", 120.0))
    assert refused(record) == ["largest_share"]


def test_the_share_of_a_key_is_its_share_of_all_events_of_the_alert():
    few = {"events": 1000, "principals": {"k1": 60, "k2": 10, "k3": 10}}
    assert Run().last(alert("toxicity", 110.0, **few), alert("drift", 120.0, **few)).state == "requested"


def test_the_same_alerts_cause_another_request_after_the_cool_down():
    run = Run(cool_down_seconds=1000)
    first = run.last(alert("toxicity", 110.0), alert("drift", 120.0))
    assert run(alert("pii", 120.0), alert("pii", 1120.0, state="resolved", revision=1))[1:] == []
    again = run.last(alert("drift", 1120.0, revision=1))
    assert (again.state, again.alert_ids) == ("requested", first.alert_ids)
    assert again.retraining_id != first.retraining_id
    assert refused(run.last(alert("drift", 2120.0, revision=2, sentinels="moved"))) == ["sentinels"]


def test_an_update_of_a_requests_alert_is_not_suppressed_after_another_alert_resolved(run):
    run(alert("toxicity", 110.0), alert("drift", 120.0), alert("toxicity", 125.0, state="resolved", revision=1))
    assert run(alert("drift", 130.0, revision=1)) == []


def test_the_data_of_a_request_begin_with_the_windows_that_opened_the_first_alert(run):
    run.stage = Retraining(settings(alerts={"open_windows": 3}))
    (_, request) = run(alert("toxicity", 110.0), alert("drift", 120.0, opened_at=110.0))
    assert request.since == 85.0


def test_the_state_of_ended_alerts_and_requests_is_bounded():
    run, sizes = Run(), []
    for number in range(200):
        name, ended = f"{number:03}", {"state": "failed", "reason": "", "tenant": "acme", "model": MODEL, "at": 1.0}
        run(alert("pii", 110.0, name=name), alert("pii", 110.0, name=name, state="resolved", revision=1))
        run.stage.progress(run.state.requests, RetrainingRecord(retraining_id=f"rt_{name}", **ended), number)
        sizes.append(len(encode(run.state.alerts)) + len(encode(run.state.requests)))
    assert max(sizes[70:]) < 1.1 * sizes[70]
