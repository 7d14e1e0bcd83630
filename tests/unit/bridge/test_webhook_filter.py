import json

import pytest
from support.alert_records import alert, resolved, silence

from stream.bridge.notification import Links
from stream.bridge.webhook_filter import News, message_id
from stream.settings import WebhookSettings
from stream.silences import Silences

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def news(**settings):
    return News(WebhookSettings(url="http://hook", secret=SECRET, **settings), Links(runbook="runbook.md"))


def told(one, *alerts, silences=None):
    found = []
    for record in alerts:
        if one.is_news(record, silences or Silences()):
            one.told(record)
            found.append(message_id(record))
    return found


def test_openings_severities_and_ends_are_news_and_more_evidence_is_none():
    history = [
        alert(),
        alert(revision=1, evidence_total=2),
        alert(revision=2, severity="critical"),
        alert(revision=1),
        resolved(severity="critical"),
        resolved(severity="critical"),
    ]
    assert told(news(), *history) == ["al_1.firing.warning", "al_1.firing.critical", "al_1.resolved.critical"]


@pytest.mark.parametrize(("pattern", "heard"), [("*", True), ("acme", True), ("ac*", True), ("_weir", False)])
def test_tenants_are_a_pattern(pattern, heard):
    assert bool(told(news(tenants=pattern), alert())) == heard


def test_severity_is_the_least_that_is_told():
    assert told(news(severity="critical"), alert(), alert(revision=1, severity="critical")) == ["al_1.firing.critical"]
    assert told(news(severity="info"), alert(severity="info")) == ["al_1.firing.info"]


def test_what_opens_silenced_is_told_when_it_changes_after_the_silence():
    silences = Silences()
    silences.apply(silence(alert(), 50.0, 150.0))
    one = news()
    assert told(one, alert(at=100.0), silences=silences) == []
    assert told(one, alert(at=160.0, revision=1), silences=silences) == ["al_1.firing.warning"]


def test_the_message_has_the_alert_and_its_links():
    message = json.loads(news().body(resolved(evidence=("r1", "r2"))))
    assert message["type"] == "weir.alert.resolved"
    assert message["data"]["evidence"] == ["r1", "r2"]
    assert message["data"]["runbook_url"] == "runbook.md#pii"
    assert message["timestamp"] == "1970-01-01T00:03:20.000000Z"
