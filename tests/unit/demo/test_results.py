"""Lines that the demo prints about its tenant, and the results that it still waits for."""

import pytest
from support import alert_records, ledger_log

from stream.wire import RetrainingRecord
from weir.demo.results import EXPECTED, DemoResults


@pytest.fixture
def results():
    return DemoResults(tenant="demo-1", started=0.0)


def verdict(*, tenant="demo-1", flagged=True):
    return ledger_log.verdict(ledger_log.request("r1", 0.0, tenant=tenant), "pii", flagged=flagged).data


def alert(detector, *, tenant="demo-1", severity="warning"):
    return alert_records.alert(f"al_{detector}", detector=detector, tenant=tenant, severity=severity)


def retraining(number, state="suppressed", *, tenant="demo-1", **gates):
    where = {"tenant": tenant, "model": "m", "at": float(number)}
    reason = f"has {number} windows, needs 3"
    return RetrainingRecord(retraining_id=f"rt_{number}", state=state, reason=reason, gates=gates, **where)


def test_only_flagged_verdicts_of_the_tenant_are_printed_and_all_are_counted(results):
    events = (verdict(), verdict(flagged=False), verdict(tenant="other"))
    assert [results.add_verdict(event) for event in events] == [True, False, False]
    assert results.verdicts == {"pii": [2, 1]}


def test_an_alert_is_printed_when_its_state_or_severity_changes(results):
    records = (alert("pii"), alert("pii"), alert("pii", severity="critical"), alert("pii", tenant="other"))
    assert [results.add_alert(record) for record in records] == [True, False, True, False]


def test_a_suppression_is_printed_once_per_set_of_failing_gates_and_counted(results):
    windows, both = {"windows": False, "agree": True}, {"windows": False, "agree": False}
    events = [retraining(1, **windows), retraining(2, **windows), retraining(3, **both), retraining(4, **windows)]
    assert [results.add_retraining(event, "al_1") for event in events] == [True, False, True, False]
    assert [entry.count for entry in results.suppressed.entries.values()] == [1, 3]


def test_everything_is_seen_after_the_alerts_and_the_request(results):
    assert results.missing() == list(EXPECTED)
    for detector in ("pii", "toxicity", "drift"):
        results.add_alert(alert(detector))
    results.add_retraining(retraining(1, windows=False), "al_pii")
    assert results.missing() == ["retraining"]
    assert results.add_retraining(retraining(2, "requested", windows=True), "al_drift")
    assert (results.missing(), results.tipping_alert) == ([], "al_drift")
