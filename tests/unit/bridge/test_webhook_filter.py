import json

import pytest
from support.alert_records import alert, resolved, silence
from support.bridges import SECRET

from stream.bridge import webhook_filter
from stream.bridge.alert_links import AlertLinks
from stream.bridge.webhook import payload
from stream.bridge.webhook_filter import WebhookFilter, message_id
from stream.settings import WebhookSettings
from stream.silences import Silences
from weir.client import Alert


def filter_of(**settings):
    return WebhookFilter(WebhookSettings(url="http://hook", secret=SECRET, **settings))


def delivered(filter_, *alerts, silences=None):
    messages = []
    for record in alerts:
        if filter_.selects(record, silences or Silences()):
            filter_.delivered(record)
            messages.append(message_id(record))
    return messages


def test_an_alert_is_sent_when_it_opens_changes_severity_and_resolves():
    history = [
        alert(),
        alert(revision=1, evidence_total=2),
        alert(revision=2, severity="critical"),
        alert(revision=1),
        resolved(severity="critical"),
        resolved(severity="critical"),
    ]
    assert delivered(filter_of(), *history) == ["al_1.firing.warning", "al_1.firing.critical", "al_1.resolved.critical"]


def test_an_alert_is_sent_again_when_its_detector_finds_a_further_feature():
    first, second = ("prompt_tokens",), ("prompt_tokens", "error")
    history = [alert(features=first), alert(revision=1, features=second), alert(revision=2, features=second)]
    assert delivered(filter_of(), *history) == ["al_1.firing.warning", "al_1.firing.warning.2"]


@pytest.mark.parametrize(("pattern", "selected"), [("*", True), ("acme", True), ("ac*", True), ("_weir", False)])
def test_tenants_are_selected_by_a_pattern(pattern, selected):
    assert bool(delivered(filter_of(tenants=pattern), alert())) == selected


def test_alerts_below_the_configured_severity_are_not_sent():
    history = [alert(), alert(revision=1, severity="critical")]
    assert delivered(filter_of(severity="critical"), *history) == ["al_1.firing.critical"]
    assert delivered(filter_of(severity="info"), alert(severity="info")) == ["al_1.firing.info"]


def test_an_alert_that_opens_silenced_is_sent_when_it_changes_after_the_silence():
    silences = Silences()
    silences.apply(silence(alert(), 50.0, 150.0))
    filter_ = filter_of()
    assert delivered(filter_, alert(at=100.0), silences=silences) == []
    assert delivered(filter_, alert(at=160.0, revision=1), silences=silences) == ["al_1.firing.warning"]


def test_the_resolution_of_an_alert_that_was_sent_is_sent():
    """With a gateway whose clock is ahead, a silence that is made after the alert opened covers both its times."""
    filter_, silences = filter_of(), Silences()
    assert delivered(filter_, alert()) == ["al_1.firing.warning"]
    silences.apply(silence(alert(), 50.0, 900.0))
    assert delivered(filter_, resolved(), silences=silences) == ["al_1.resolved.warning"]


@pytest.mark.parametrize(("since", "sent"), [(150.0, ["al_1.resolved.warning"]), (50.0, [])])
def test_a_silence_mutes_a_resolution_only_if_it_muted_the_opening(since, sent):
    """The filter is new, because the bridge may have been restarted since the alert opened."""
    silences = Silences()
    silences.apply(silence(alert(at=100.0), since, 900.0))
    assert delivered(filter_of(), resolved(at=200.0), silences=silences) == sent


def test_a_silence_that_began_after_the_opening_mutes_further_messages():
    silences = Silences()
    silences.apply(silence(alert(), 150.0, 900.0))
    critical = alert(at=200.0, opened_at=100.0, revision=1, severity="critical")
    assert delivered(filter_of(), critical, silences=silences) == []


def test_the_messages_of_the_latest_alerts_only_are_not_sent_again(monkeypatch):
    monkeypatch.setattr(webhook_filter, "MAX_ALERTS", 2)
    filter_, critical = filter_of(), alert("al_0", revision=1, severity="critical")
    delivered(filter_, alert("al_0"), alert("al_1"), critical, alert("al_2"))
    assert delivered(filter_, critical, alert("al_2"), alert("al_1")) == ["al_1.firing.warning"]


def test_the_payload_has_the_alert_and_its_links():
    message = json.loads(payload(resolved(evidence=("r1", "r2")), AlertLinks(runbook="runbook.md")))
    assert message["type"] == "weir.alert.resolved"
    assert message["data"]["evidence"] == ["r1", "r2"]
    assert message["data"]["runbook_url"] == "runbook.md#pii"
    assert message["timestamp"] == "1970-01-01T00:03:20.000000Z"


def test_the_payload_of_a_firing_alert_has_the_fields_of_weir_alerts():
    message = json.loads(payload(alert(), AlertLinks()))
    assert set(Alert.__struct_fields__) - {"silenced"} <= message["data"].keys()
    assert message["data"]["resolved_at"] is None
    assert message["data"]["feature"] == ""


def test_an_unknown_severity_counts_as_critical():
    """Later versions can add severities."""
    assert delivered(filter_of(severity="critical"), alert(severity="emergency")) == ["al_1.firing.emergency"]
